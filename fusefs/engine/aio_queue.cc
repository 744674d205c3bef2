#include "fusefs/engine/aio_queue.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace drivebay {

using namespace std::chrono_literals;

AioQueue::AioQueue(EventLoop& loop, int depth) : loop_(loop), depth_(depth), events_(256) {
    if (const int error = io_setup(depth, &context_); error != 0) {
        throw std::system_error(-error, std::generic_category(), "io_setup");
    }
    completed_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!completed_) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    loop_.add(completed_.get(), EPOLLIN, [this](std::uint32_t) { reap(); });
}

AioQueue::~AioQueue() {
    loop_.cancel(retry_);
    loop_.remove(completed_.get());
    io_destroy(context_);
}

void AioQueue::submit(AioOperation& operation) {
    operation.block.data = &operation;
    io_set_eventfd(&operation.block, completed_.get());
    waiting_.push_back(&operation.block);
    schedule_flush();
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
    for (const auto& [operation, error] : refused) {
        operation->done(*operation, error);
    }
}

void AioQueue::reap() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(completed_.get(), &count, sizeof count);
    while (true) {
        timespec no_time{};
        const int reaped = io_getevents(context_, 0, static_cast<long>(events_.size()), events_.data(), &no_time);
        if (reaped <= 0) {
            break;
        }
        in_flight_ -= reaped;
        for (int i = 0; i < reaped; ++i) {
            auto* const operation = static_cast<AioOperation*>(events_[static_cast<std::size_t>(i)].data);
            operation->done(*operation, static_cast<long>(events_[static_cast<std::size_t>(i)].res));
        }
        if (reaped < static_cast<int>(events_.size())) {
            break;
        }
    }
    if (!waiting_.empty()) {
        schedule_flush();
    }
}

}  // namespace drivebay
