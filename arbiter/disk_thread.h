// The one thread of the arbiter that may wait for the disk, so that the reactor's never does: commits and audit lines,
// one job after another, in the order in which they were handed over.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "lib/rpc/reactor.h"

namespace drivebay::arbiter {

class DiskThread {
public:
    // The reactor must outlive it.
    explicit DiskThread(rpc::Reactor& reactor);
    // Waits until every job is done, however long the disk takes; what was to follow on the reactor no longer does.
    ~DiskThread();
    DiskThread(const DiskThread&) = delete;
    DiskThread& operator=(const DiskThread&) = delete;

    // Runs `job` on the thread, then `then`, if there is one, on the reactor's. To be called there.
    void run(std::function<void()> job, std::function<void()> then = nullptr);

private:
    struct Job {
        std::function<void()> work;
        std::function<void()> then;
    };
    void serve();

    rpc::Reactor& reactor_;
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<Job> jobs_;
    bool ending_ = false;
    // Read and written on the reactor's thread alone: false once this object is gone.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::thread thread_;
};

}  // namespace drivebay::arbiter
