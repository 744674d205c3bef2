#include "fusefs/engine/aio_queue.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace drivebay {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_reaped = 128;
constexpr int most_at_once = 4;
// So many go without waiting for more (doc/RESULTS.md, "What each change gained").
constexpr std::size_t enough_for_a_call = 8;

}  // namespace

AioQueue::AioQueue(EventLoop& loop, int depth, io_context_t context, UniqueFd completed)
    : loop_(loop), depth_(depth), context_(context), completed_(std::move(completed)) {
    events_.reserve(most_reaped);
    // It only wakes the loop: what has completed is found by poll().
    loop_.add(completed_.get(), EPOLLIN, [this](std::uint32_t) {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = read(completed_.get(), &count, sizeof count);
    });
}

Result<std::unique_ptr<AioQueue>> AioQueue::create(EventLoop& loop, int depth) {
    UniqueFd completed(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!completed) {
        return system_error(errno, "no descriptor for a drive's completions");
    }
    io_context_t context = nullptr;
    if (const int error = io_setup(depth, &context); error != 0) {
        return system_error(-error, error == -EAGAIN ? "no more asynchronous requests for one more drive (raise the "
                                                       "kernel's fs.aio-max-nr with sysctl)"
                                                     : "no asynchronous I/O for a drive");
    }
    return std::unique_ptr<AioQueue>(new AioQueue(loop, depth, context, std::move(completed)));
}

AioQueue::~AioQueue() {
    loop_.cancel(retry_);
    loop_.stop_polling(*this);
    loop_.remove(completed_.get());
    io_destroy(context_);
}

void AioQueue::submit(AioOperation& operation) {
    operation.block.data = &operation;
    io_set_eventfd(&operation.block, completed_.get());
    waiting_.push_back(&operation.block);
    if (waiting_.size() >= enough_for_a_call) {
        schedule_flush();
    } else {
        loop_.start_polling(*this);
    }
}

void AioQueue::schedule_flush() {
    if (!flush_scheduled_) {
        flush_scheduled_ = true;
        loop_.at_round_end([this] {
            flush_scheduled_ = false;
            flush();
        });
    }
}

void AioQueue::flush() {
    std::size_t taken = 0;
    std::vector<std::pair<AioOperation*, int>> refused;
    while (taken < waiting_.size() && in_flight_ < depth_) {
        const long count = std::min<long>(static_cast<long>(waiting_.size() - taken), depth_ - in_flight_);
        const int accepted = io_submit(context_, count, waiting_.data() + taken);
        if (accepted > 0) {
            taken += static_cast<std::size_t>(accepted);
            in_flight_ += accepted;
            loop_.start_polling(*this);
        } else if (accepted == -EAGAIN || accepted == -EINTR || accepted == 0) {
            // The next completion tries again; with nothing in flight only time can.
            if (in_flight_ == 0 && retry_ == 0) {
                retry_ = loop_.call_after(1ms, [this] {
                    retry_ = 0;
                    flush();
                });
            }
            break;
        } else {
            // The error is the first one's alone (fs/aio.c, io_submit: it stops there).
            refused.emplace_back(static_cast<AioOperation*>(waiting_[taken]->data), accepted);
            ++taken;
        }
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
    waited_ = 0;
    full_ = !waiting_.empty();
    for (const auto& [operation, error] : refused) {
        operation->done(*operation, error);
    }
}

// False: nothing has completed.
bool AioQueue::reap() {
    events_.resize(most_reaped);
    timespec no_time{};
    // libaio looks at the ring first: with nothing in there this is no system call.
    const int reaped = io_getevents(context_, 0, static_cast<long>(most_reaped), events_.data(), &no_time);
    events_.resize(static_cast<std::size_t>(std::max(reaped, 0)));
    next_event_ = 0;
    in_flight_ -= static_cast<int>(events_.size());
    full_ = full_ && events_.empty();
    return !events_.empty();
}

bool AioQueue::poll() {
    const bool came_no_more = std::exchange(waited_, waiting_.size()) == waiting_.size();
    if (came_no_more && !waiting_.empty() && !full_) {
        schedule_flush();
    }
    if (next_event_ == events_.size() && !reap()) {
        return !waiting_.empty() && !full_;
    }
    bool more = true;
    for (int left = most_at_once; more && left > 0; --left) {
        const io_event event = events_[next_event_++];
        more = next_event_ < events_.size();
        if (in_flight_ == 0 && !more && waiting_.empty()) {
            loop_.stop_polling(*this);
        }
        auto* const operation = static_cast<AioOperation*>(event.data);
        // The last one may end the drive, and this with it.
        operation->done(*operation, static_cast<long>(event.res));
    }
    return true;
}

}  // namespace drivebay
