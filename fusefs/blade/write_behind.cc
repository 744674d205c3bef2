#include "fusefs/blade/write_behind.h"

#include <algorithm>
#include <chrono>

namespace drivebay {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t seconds_of_work = 3;
constexpr Duration shortest_sample = 100ms;

}  // namespace

bool WriteBehind::take(std::uint32_t bytes, Instant now) {
    if (held_ + bytes > limit_) {
        return false;
    }
    take_anyway(bytes, now);
    return true;
}

void WriteBehind::take_anyway(std::uint32_t bytes, Instant now) {
    if (held_ == 0) {
        since_ = now;
        moved_ = 0;
    }
    held_ += bytes;
}

void WriteBehind::done(std::uint32_t bytes, Instant now) {
    held_ -= bytes;
    moved_ += bytes;
    if (now - since_ < shortest_sample) {
        return;
    }
    const std::chrono::duration<double> passed = now - since_;
    const auto sample = static_cast<std::uint64_t>(static_cast<double>(moved_) / passed.count()) * seconds_of_work;
    limit_ = std::clamp((limit_ + sample) / 2, least, most);
    since_ = now;
    moved_ = 0;
}

}  // namespace drivebay
