// How often something may be done: so many times at once, and so many a second in the long run. One thread's.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "lib/base/clock.h"

namespace drivebay {

class TokenBucket {
public:
    TokenBucket(std::size_t most, std::size_t a_second)
        : most_(static_cast<double>(most)), a_second_(static_cast<double>(a_second)), tokens_(most_) {}

    // Whether it may be done once more.
    bool take(Instant now) {
        if (now > filled_) {
            tokens_ = std::min(most_, tokens_ + a_second_ * std::chrono::duration<double>(now - filled_).count());
            filled_ = now;
        }
        if (tokens_ < 1) {
            return false;
        }
        tokens_ -= 1;
        return true;
    }
    // What was taken was none after all.
    void give_back() { tokens_ = std::min(most_, tokens_ + 1); }

private:
    double most_;
    double a_second_;
    double tokens_;
    Instant filled_{};
};

}  // namespace drivebay
