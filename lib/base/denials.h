// What was refused to whom. A stranger can ask for thousands of things a second, so beyond some they are only counted.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

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
    explicit Denials(std::function<void(const Denial&)> tell) : tell_(std::move(tell)) {}

    void note(Denial denial);

private:
    static constexpr std::uint64_t most = 20;
    // A refusal that was not told yet is told past that, too: a flood of one kind hides no other.
    static constexpr std::size_t most_kinds = 100;
    static constexpr Duration within = std::chrono::seconds(10);

    std::function<void(const Denial&)> tell_;
    Instant since_{};
    std::uint64_t noted_ = 0;
    std::set<std::string> kinds_;  // identities and reasons of this while
    std::uint64_t unnoted_ = 0;
};

}  // namespace drivebay
