// Time as drivebay counts it: CLOCK_BOOTTIME for every interval, because CLOCK_MONOTONIC stands still
// while a machine sleeps. Wall time is for people's eyes only.
#pragma once

#include <chrono>
#include <string>

namespace drivebay {

using Duration = std::chrono::nanoseconds;

// A clock type of its own, so that no other time point can be mixed in by mistake.
struct BootClock {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<BootClock>;
    static constexpr bool is_steady = true;
    static time_point now();
};

using Instant = BootClock::time_point;

// Now, as UTC in RFC 3339 with milliseconds.
std::string wall_time();

// The kernel's id of this boot (/proc/sys/kernel/random/boot_id): tells a restarted program from a
// restarted machine. Empty where the kernel does not tell.
std::string kernel_boot_id();

}  // namespace drivebay
