// Between the views of a drive and the drive: a FairQueue with a loop, a clock and a timer. A request that waits here has
// not entered its view's gate, so that a fence need not wait for it; a piece of a request enters it by itself. Loop thread
// only.
#pragma once

#include <memory>
#include <vector>

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

    // The request's context is its AdmittedView, whose go() is called when its turn has come, perhaps from inside the call:
    // with the request, or again and again with a piece of it.
    void submit(FairQueue::Place& place, IoRequest& request);
    // For each after go(), when the drive has done with it, or at once if it was not given to the drive. What can be
    // answered now with `error`, which is another one's where a piece failed before; null: pieces are missing.
    IoRequest* finished(FairQueue::Place& place, IoRequest& request, int& error);
    // What waits in the place goes no more: a list by `next`. One with pieces at the drive is not in it, it fails with
    // `error` when they are done.
    IoRequest* clear(FairQueue::Place& place, int error);

private:
    void pump();
    IoRequest& piece_of(const FairQueue::Turn& turn);

    EventLoop& loop_;
    FairQueue queue_;
    std::vector<std::unique_ptr<IoRequest>> pieces_;
    IoRequest* free_pieces_ = nullptr;
    bool pumping_ = false;
    EventLoop::TimerId timer_ = 0;
};

}  // namespace drivebay
