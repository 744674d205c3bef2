// What happens as often as somebody else likes and is told only now and then. One thread's.
#pragma once

#include "lib/base/clock.h"

namespace drivebay {

class Seldom {
public:
    // Whether it is time to tell it again.
    bool is_time() {
        const Instant now = BootClock::now();
        if (now < next_) {
            return false;
        }
        next_ = now + std::chrono::seconds(10);
        return true;
    }

private:
    Instant next_{};
};

}  // namespace drivebay
