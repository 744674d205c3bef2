// What was refused to whom. A stranger can ask for thousands of things a second, so beyond some they are only counted.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "lib/base/clock.h"

namespace drivebay {

struct Denial {
    std::string peer;      // an address, for people
    std::string identity;  // proved, or claimed in vain, or empty
    std::string asked;     // for what
    std::string reason;
};

// One thread's.
class Denials {
public:
    // `tell` gets those that are not only counted; the reason of the next one says how many were. They are logged before.
    // Whatever they hold of a stranger's words is cut short.
    explicit Denials(std::function<void(const Denial&)> tell) : tell_(std::move(tell)) {}

    void note(Denial denial);

    // `call_after` is given the time after which tell_rest() is to be called, whenever something begins to be only
    // counted; it replaces what was given before.
    void use_timer(std::function<void(Duration)> call_after) { call_after_ = std::move(call_after); }
    // Tells the last one of those that were only counted, with their number, unless another has told it since.
    void tell_rest();

private:
    static constexpr std::uint64_t most = 20;
    // A refusal that was not told yet is told past that, too: a flood of one kind hides no other.
    static constexpr std::size_t most_kinds = 100;
    static constexpr Duration within = std::chrono::seconds(10);

    void tell(Denial denial);

    std::function<void(const Denial&)> tell_;
    std::function<void(Duration)> call_after_;
    Instant since_{};
    std::uint64_t noted_ = 0;
    std::set<std::string> kinds_;  // identities and reasons of this while
    std::uint64_t unnoted_ = 0;
    Denial last_unnoted_;
};

}  // namespace drivebay
