// Has the end of a flood of denials told when it is over. Loop thread only; the loop and the denials must outlive it.
#pragma once

#include "fusefs/loop/event_loop.h"
#include "lib/base/denials.h"

namespace drivebay::nbd {

class DenialsTimer {
public:
    DenialsTimer(EventLoop& loop, Denials& denials) : loop_(loop), denials_(denials) {
        denials_.use_timer([this](Duration after) { set(after); });
    }
    ~DenialsTimer() { loop_.cancel(timer_); }
    DenialsTimer(const DenialsTimer&) = delete;
    DenialsTimer& operator=(const DenialsTimer&) = delete;

private:
    void set(Duration after) {
        loop_.cancel(timer_);
        timer_ = loop_.call_after(after, [this] {
            timer_ = 0;
            denials_.tell_rest();
        });
    }

    EventLoop& loop_;
    Denials& denials_;
    EventLoop::TimerId timer_ = 0;
};

}  // namespace drivebay::nbd
