// What was refused to whom, for the audit log. A stranger can make thousands a second, so beyond some they are counted.
#pragma once

#include <set>
#include <string>

#include "arbiter/arbiter.h"
#include "lib/rpc/channel.h"

namespace drivebay::arbiter {

class Denials {
public:
    explicit Denials(Arbiter& arbiter) : arbiter_(arbiter) {}

    // `identity`: proved, or what was claimed in vain, or empty; `asked`: for what.
    void note(const rpc::Peer& peer, const std::string& identity, const std::string& asked, const std::string& reason);

private:
    static constexpr std::uint64_t most = 20;
    // A refusal that was not told yet is told past that, too: a flood of one kind hides no other.
    static constexpr std::size_t most_kinds = 100;
    static constexpr Duration within = std::chrono::seconds(10);

    Arbiter& arbiter_;
    Instant since_{};
    std::uint64_t noted_ = 0;
    std::set<std::string> kinds_;  // identities and reasons of this while
    std::uint64_t unnoted_ = 0;
};

}  // namespace drivebay::arbiter
