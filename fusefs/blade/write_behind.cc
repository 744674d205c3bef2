#include "fusefs/blade/write_behind.h"

#include <algorithm>

namespace drivebay {

namespace {

constexpr std::uint64_t seconds_of_work = 3;

}  // namespace

std::uint64_t WriteBehind::limit() const {
    return std::clamp(rate_() * seconds_of_work, least, most);
}

bool WriteBehind::take(std::uint32_t bytes) {
    if (held_ + bytes > limit()) {
        return false;
    }
    held_ += bytes;
    return true;
}

}  // namespace drivebay
