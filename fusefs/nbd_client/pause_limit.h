// How long a drive may keep its user waiting. A Linux host allows 10 s for the command that closes a drive and 30 s for
// the others, however many requests of ours one command becomes, and resets the whole USB device past either. So a
// pause is counted over requests: it begins with the first stalled one and ends only when one second has passed without
// a stall. A stall is: somebody waits, and nothing at all was heard for `threshold`. A slow but living connection does
// not stall. No clock in here.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/base/clock.h"

namespace drivebay {

class PauseLimit {
public:
    explicit PauseLimit(Duration limit)
        : limit_(limit), threshold_(std::min<Duration>(limit, std::chrono::milliseconds(500))) {}

    // Somebody waits from now on. Where others do already, nothing changes.
    void waiting(Instant now);
    // Somebody waits since `asked`, perhaps for a server before this one: if that is long enough for a stall, the pause
    // began no later.
    void waiting_since(Instant asked, Instant now);
    // Something was heard; `still_waiting`: somebody waits for more.
    void heard(Instant now, bool still_waiting);
    // Everybody who waited was told that it failed: who waits next begins a pause of his own.
    void given_up();

    bool stalled(Instant now) const;
    // The pause has lasted longer than the limit.
    bool over(Instant now) const;
    // When stalled() and then over() turn true if nothing is heard; nothing: they do not.
    std::optional<Instant> stalls_at() const;
    std::optional<Instant> over_at() const;

private:
    static constexpr Duration quiet = std::chrono::seconds(1);

    // Where the pause began that the silence since `silent_since_` belongs to.
    Instant pause_began() const;

    const Duration limit_;
    const Duration threshold_;
    std::optional<Instant> silent_since_;  // set while somebody waits
    std::optional<Instant> pause_began_;   // of the last pause that had a stall
    Instant stall_ended_{};
};

}  // namespace drivebay
