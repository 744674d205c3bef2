// A thread that may hang: configfs calls block while an I/O of their LUN does, and then nothing but the I/O's end frees
// them. The main loop hands jobs over and hears of their end; how long it is willing to wait is its own affair (the
// planner's `stuck` limit).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

class SlotWorker {
public:
    // What a job gives back: run on the reactor's thread.
    using Continuation = std::function<void()>;
    using Job = std::function<Continuation()>;

    // `name` (at most 15 bytes) is the thread's. The reactor must outlive the worker.
    SlotWorker(rpc::Reactor& reactor, const std::string& name);
    // Does not wait: a job that hangs is left to itself, its continuation never runs. So a job owns all it uses.
    ~SlotWorker();
    SlotWorker(const SlotWorker&) = delete;
    SlotWorker& operator=(const SlotWorker&) = delete;

    // Runs jobs one after another, in order. Reactor thread.
    void submit(Job job);

private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace drivebay::gadgetd
