#include "fusefs/loop/worker_pool.h"

#include <pthread.h>

namespace drivebay {

WorkerPool::WorkerPool(EventLoop& loop, std::string name, std::size_t limit)
    : loop_(loop), name_(std::move(name)), limit_(limit) {}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        jobs_.clear();
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
    // Only the loop's thread reads it, and only the loop's owner destroys the pool: after the loop or on its thread.
    *alive_ = false;
}

void WorkerPool::run(std::function<void()> work, std::function<void()> then) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(then)});
    if (idle_ >= jobs_.size()) {
        changed_.notify_one();
    } else if (threads_.size() < limit_) {
        threads_.emplace_back([this] { serve(); });
        pthread_setname_np(threads_.back().native_handle(), name_.substr(0, 15).c_str());
    }
}

void WorkerPool::serve() {
    std::unique_lock lock(mutex_);
    while (true) {
        ++idle_;
        changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        --idle_;
        if (ending_) {
            return;
        }
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job.work();
        job.work = nullptr;
        loop_.post([alive = alive_, then = std::move(job.then)] {
            if (*alive && then) {
                then();
            }
        });
        lock.lock();
    }
}

}  // namespace drivebay
