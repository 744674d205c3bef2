// How much of what a host has written may be answered before it is on the drive: so many bytes, and no more than the link
// has lately moved in three seconds, so that whoever waits for it (a flush, an eject) does not wait longer. No clock in
// here.
#pragma once

#include <cstdint>

#include "lib/base/clock.h"

namespace drivebay {

class WriteBehind {
public:
    static constexpr std::uint64_t most = std::uint64_t{8} << 20;    // bytes
    static constexpr std::uint64_t least = std::uint64_t{64} << 10;  // however slow the link is

    // Room for so many bytes more? Then they are held.
    bool take(std::uint32_t bytes, Instant now);
    // Held, room or not: a server before this one has answered them.
    void take_anyway(std::uint32_t bytes, Instant now);
    // They are on the drive, or given up.
    void done(std::uint32_t bytes, Instant now);

    std::uint64_t held() const { return held_; }
    std::uint64_t limit() const { return limit_; }

private:
    std::uint64_t limit_ = std::uint64_t{1} << 20;
    std::uint64_t held_ = 0;
    // What was moved since, with something held all the time.
    Instant since_{};
    std::uint64_t moved_ = 0;
};

}  // namespace drivebay
