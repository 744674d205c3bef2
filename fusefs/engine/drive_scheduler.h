// Between the views of a drive and the drive: a FairQueue with a loop, a clock and a timer. A request that waits here has
// not entered its view's gate, so that a fence need not wait for it. Loop thread only.
#pragma once

#include "fusefs/engine/fair_queue.h"
#include "fusefs/loop/event_loop.h"

namespace drivebay {

class AdmittedView;

class DriveScheduler {
public:
    DriveScheduler(EventLoop& loop, FairQueue::Limits limits) : loop_(loop), queue_(limits) {}
    // When nothing waits and nothing is in flight.
    ~DriveScheduler() { loop_.cancel(timer_); }
    DriveScheduler(const DriveScheduler&) = delete;
    DriveScheduler& operator=(const DriveScheduler&) = delete;

    // The request's context is its AdmittedView, whose go() is called when its turn has come: perhaps from inside the call.
    void submit(FairQueue::Place& place, IoRequest& request);
    // For each request after go(), when the drive has done with it, or at once if it was not given to the drive.
    void finished(const IoRequest& request);
    // What waits in the place goes no more: a list by `next`.
    IoRequest* clear(FairQueue::Place& place) { return queue_.clear(place); }

private:
    void pump();

    EventLoop& loop_;
    FairQueue queue_;
    bool pumping_ = false;
    EventLoop::TimerId timer_ = 0;
};

}  // namespace drivebay
