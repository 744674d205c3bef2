// How many bytes a second a link has lately moved while it had something to move: what goes over it at once is bounded
// by that, so that nobody waits too long for a part of it. No clock in here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/clock.h"

namespace drivebay {

class LinkRate {
public:
    // One request more is to be moved.
    void begun(Instant now);
    // One is done with, which has moved so many bytes.
    void done(std::uint32_t bytes, Instant now);
    // The connection was lost: the time that this takes says nothing.
    void interrupted(Instant now);

    std::uint64_t bytes_a_second() const { return rate_; }

private:
    std::uint64_t rate_ = std::uint64_t{350} << 10;  // before anything was moved
    std::size_t under_way_ = 0;
    // Since the last sample, with something under way:
    Instant since_{};
    Duration busy_{};  // before `since_`
    std::uint64_t moved_ = 0;
};

}  // namespace drivebay
