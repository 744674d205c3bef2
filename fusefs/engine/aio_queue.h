// One Linux AIO context. What is submitted goes to the kernel together, in one io_submit(2): once there are a few, or a round
// has brought no more. Each call costs the drive a notice, which in a virtual machine is dear. Completions are handed out a
// few a round, so that what is asked next is at the drive before all the others are answered: answering all of a batch first
// leaves the drive idle meanwhile, and answering one at a time wakes the clients that often. A drive has a context of its own,
// so that the requests of a stuck one take no other's places. Loop thread only.
#pragma once

#include <libaio.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "fusefs/loop/event_loop.h"
#include "lib/base/fd.h"
#include "lib/base/result.h"

namespace drivebay {

// Belongs to whoever submits it and stays put until `done`. `block` is prepared with io_prep_*; `data` and the eventfd
// are the queue's.
struct AioOperation {
    iocb block{};
    // `result` is the byte count or a negative errno. Never called from inside submit().
    void (*done)(AioOperation& operation, long result) = nullptr;
    void* context = nullptr;
};

class AioQueue final : private Poller {
public:
    // At most `depth` requests are at the kernel at a time. EAGAIN: it has no more of them to give (fs.aio-max-nr).
    static Result<std::unique_ptr<AioQueue>> create(EventLoop& loop, int depth = 256);
    // Waits in the kernel for what is still in flight; no `done` is called any more.
    ~AioQueue() override;
    AioQueue(const AioQueue&) = delete;
    AioQueue& operator=(const AioQueue&) = delete;

    void submit(AioOperation& operation);

private:
    AioQueue(EventLoop& loop, int depth, io_context_t context, UniqueFd completed);
    void flush();
    void schedule_flush();
    bool poll() override;
    bool reap();

    EventLoop& loop_;
    const int depth_;
    const io_context_t context_;
    const UniqueFd completed_;
    std::vector<iocb*> waiting_;
    std::size_t waited_ = 0;        // of them, in the round before
    bool full_ = false;             // the kernel takes no more of them until something has completed
    std::vector<io_event> events_;  // reaped
    std::size_t next_event_ = 0;    // the first that was not handed out
    int in_flight_ = 0;
    bool flush_scheduled_ = false;
    EventLoop::TimerId retry_ = 0;
};

}  // namespace drivebay
