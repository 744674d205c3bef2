#include "arbiter/disk_thread.h"

#include <pthread.h>

#include <utility>

namespace drivebay::arbiter {

DiskThread::DiskThread(rpc::Reactor& reactor) : reactor_(reactor), thread_([this] { serve(); }) {
    pthread_setname_np(thread_.native_handle(), "disk");
}

DiskThread::~DiskThread() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    arrived_.notify_one();
    thread_.join();
    *alive_ = false;
}

void DiskThread::run(std::function<void()> job, std::function<void()> then) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back({std::move(job), std::move(then)});
    }
    arrived_.notify_one();
}

void DiskThread::serve() {
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            arrived_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
            if (jobs_.empty()) {
                return;
            }
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        job.work();
        if (job.then) {
            reactor_.post([alive = alive_, then = std::move(job.then)] {
                if (*alive) {
                    then();
                }
            });
        }
    }
}

}  // namespace drivebay::arbiter
