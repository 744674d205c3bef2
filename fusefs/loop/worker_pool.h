// A few threads for what may block (open, ioctl, fallocate, name resolution), so that the loop never does.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fusefs/loop/event_loop.h"

namespace drivebay {

// Threads are started as work needs them, up to `limit`, and stay. run() may be called from any thread.
class WorkerPool {
public:
    // `name` (at most 15 bytes) is what the threads are called in /proc.
    WorkerPool(EventLoop& loop, std::string name, std::size_t limit);
    // Waits for the work that has begun; what has not begun is dropped, and no `then` is called any more.
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // Runs `work` on a thread of the pool, then `then` on the loop's thread. `work` must not throw.
    void run(std::function<void()> work, std::function<void()> then);

    // The same for work with a value: `then` gets what `work` returned.
    template <class Work, class Then>
    void compute(Work work, Then then) {
        auto value = std::make_shared<std::unique_ptr<decltype(work())>>();
        run([value, work = std::move(work)]() mutable { *value = std::make_unique<decltype(work())>(work()); },
            [value, then = std::move(then)]() mutable { then(std::move(**value)); });
    }

private:
    struct Job {
        std::function<void()> work;
        std::function<void()> then;
    };
    void serve();

    EventLoop& loop_;
    const std::string name_;
    const std::size_t limit_;
    // Outlives the pool inside posted callbacks: false once nobody wants them.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;
    std::size_t idle_ = 0;
    bool ending_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace drivebay
