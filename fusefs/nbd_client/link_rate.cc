#include "fusefs/nbd_client/link_rate.h"

#include <chrono>

namespace drivebay {

namespace {

constexpr Duration shortest_sample = std::chrono::milliseconds(100);

}  // namespace

void LinkRate::begun(Instant now) {
    if (under_way_++ == 0) {
        since_ = now;
    }
}

// Slower is believed at once, since what goes out at too high a rate stalls; faster by halves.
void LinkRate::done(std::uint32_t bytes, Instant now) {
    moved_ += bytes;
    busy_ += now - since_;
    since_ = now;
    --under_way_;
    if (busy_ < shortest_sample) {
        return;
    }
    const std::chrono::duration<double> passed = busy_;
    const auto sample = static_cast<std::uint64_t>(static_cast<double>(moved_) / passed.count());
    rate_ = sample < rate_ ? sample : (rate_ + sample) / 2;
    busy_ = {};
    moved_ = 0;
}

void LinkRate::interrupted(Instant now) {
    since_ = now;
    busy_ = {};
    moved_ = 0;
}

}  // namespace drivebay
