#include "gadgetd/slot_worker.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace drivebay::gadgetd {

struct SlotWorker::Shared {
    std::mutex mutex;
    std::condition_variable arrived;
    std::deque<Job> jobs;
    rpc::Reactor* reactor = nullptr;  // null: the owner is gone

    static void run(const std::shared_ptr<Shared>& shared);
    // A continuation that was posted, but not yet run, when the owner went does not run either.
    static void finish(const std::shared_ptr<Shared>& shared, Continuation continuation);
};

void SlotWorker::Shared::run(const std::shared_ptr<Shared>& shared) {
    for (;;) {
        Job job;
        {
            std::unique_lock lock(shared->mutex);
            shared->arrived.wait(lock, [&] { return shared->reactor == nullptr || !shared->jobs.empty(); });
            if (shared->reactor == nullptr) {
                return;
            }
            job = std::move(shared->jobs.front());
            shared->jobs.pop_front();
        }
        finish(shared, job());
    }
}

void SlotWorker::Shared::finish(const std::shared_ptr<Shared>& shared, Continuation continuation) {
    std::lock_guard lock(shared->mutex);
    if (shared->reactor == nullptr) {
        return;
    }
    shared->reactor->post([shared, continuation = std::move(continuation)] {
        {
            std::lock_guard inner(shared->mutex);
            if (shared->reactor == nullptr) {
                return;
            }
        }
        continuation();
    });
}

SlotWorker::SlotWorker(rpc::Reactor& reactor, const std::string& name) : shared_(std::make_shared<Shared>()) {
    shared_->reactor = &reactor;
    std::thread thread([shared = shared_, name] {
        pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
        Shared::run(shared);
    });
    thread.detach();
}

SlotWorker::~SlotWorker() {
    std::lock_guard lock(shared_->mutex);
    shared_->reactor = nullptr;
    shared_->jobs.clear();
    shared_->arrived.notify_all();
}

void SlotWorker::submit(Job job) {
    std::lock_guard lock(shared_->mutex);
    shared_->jobs.push_back(std::move(job));
    shared_->arrived.notify_all();
}

}  // namespace drivebay::gadgetd
