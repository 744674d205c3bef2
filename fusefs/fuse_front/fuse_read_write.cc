#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "fusefs/fuse_front/fuse_io.h"

namespace drivebay {

namespace {

// Up to here a write is copied into a buffer of its own; above, it keeps the whole buffer that it was received in.
constexpr std::size_t copy_limit = 16 * 1024;
constexpr std::uint64_t zeroes_at_once = 64 << 20;

}  // namespace

FuseChannel::Io& FuseChannel::new_io(std::uint64_t unique, const FuseHandle& handle, IoOperation operation) {
    if (free_ios_ == nullptr) {
        ios_.push_back(std::make_unique<Io>());
        ios_.back()->channel = this;
        free_ios_ = ios_.back().get();
    }
    Io& io = *std::exchange(free_ios_, free_ios_->next_free);
    io.unique = unique;
    io.handle = &handle;
    io.zeroes_left = 0;
    io.request = {};
    io.request.operation = operation;
    ++unanswered_;
    return io;
}

void FuseChannel::submit(Io& io) {
    io.request.context = &io;
    io.request.done = [](IoRequest& request, int error) {
        Io& finished = *static_cast<Io*>(request.context);
        finished.channel->done(finished, error);
    };
    io.handle->view->submit(io.request);
}

void FuseChannel::done(Io& io, int error) {
    const IoRequest& request = io.request;
    if (error == 0 && io.zeroes_left > 0) {
        // A long range goes out piece by piece, so that it does not stand in the way of every other request.
        io.request.offset += request.length;
        io.request.length = static_cast<std::uint32_t>(std::min(io.zeroes_left, zeroes_at_once));
        io.zeroes_left -= request.length;
        return submit(io);
    }
    if (error == 0 && request.operation == IoOperation::write) {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        io.handle->changed->store(std::chrono::nanoseconds(now).count(), std::memory_order_relaxed);
        fuse_write_out written{};
        written.size = request.length;
        answer(device_, io.unique, 0, std::as_bytes(std::span(&written, 1)));
    } else if (error == 0 && request.operation == IoOperation::read) {
        answer(device_, io.unique, 0, std::span(request.data, request.length));
    } else {
        answer(device_, io.unique, error);
    }
    answered(io);
}

// From the answer on the handle may be gone.
void FuseChannel::answered(Io& io) {
    io.buffer.reset();
    io.next_free = std::exchange(free_ios_, &io);
    if (--unanswered_ == 0 && idle_) {
        std::exchange(idle_, {})();
    }
}

void FuseChannel::read(std::uint64_t unique, const fuse_read_in& asked) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr) {
        return answer(device_, unique, EBADF);
    }
    const std::uint64_t end = handle->view->info().geometry.size;
    if (asked.offset >= end && !handle->view->ended()) {
        return answer(device_, unique, 0);
    }
    Io& io = new_io(unique, *handle, IoOperation::read);
    const std::uint64_t there = asked.offset < end ? end - asked.offset : 0;
    io.request.offset = asked.offset;
    io.request.length = static_cast<std::uint32_t>(std::min<std::uint64_t>({asked.size, there, largest_request}));
    io.buffer = buffers_.take(io.request.length);
    io.request.data = io.buffer.data();
    if (!io.buffer) {
        answer(device_, unique, ENOMEM);
        return answered(io);
    }
    submit(io);
}

void FuseChannel::write(std::uint64_t unique, const fuse_write_in& asked, std::byte* data) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr || !handle->writable) {
        return answer(device_, unique, EBADF);
    }
    const std::uint64_t end = handle->view->info().geometry.size;
    if (asked.offset >= end && asked.size > 0) {
        return answer(device_, unique, ENOSPC);
    }
    const bool copied = asked.size <= copy_limit;
    AlignedBuffer buffer = buffers_.take(copied ? asked.size : received_.capacity());
    if (!buffer) {
        return answer(device_, unique, ENOMEM);
    }
    Io& io = new_io(unique, *handle, IoOperation::write);
    io.request.fua = (asked.flags & (O_SYNC | O_DSYNC)) != 0;
    io.request.offset = asked.offset;
    io.request.length = static_cast<std::uint32_t>(std::min<std::uint64_t>(asked.size, end - asked.offset));
    if (copied) {
        std::memcpy(buffer.data(), data, io.request.length);
        io.request.data = buffer.data();
    } else {
        std::swap(buffer, received_);
        io.request.data = data;
    }
    io.buffer = std::move(buffer);
    submit(io);
}

void FuseChannel::sync(std::uint64_t unique, const fuse_fsync_in& asked) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr) {
        return answer(device_, unique, EBADF);
    }
    if (handle->view->info().admission.mode == Mode::read) {
        return answer(device_, unique, 0);  // nothing of it can be unwritten
    }
    submit(new_io(unique, *handle, IoOperation::flush));
}

void FuseChannel::allocate(std::uint64_t unique, const fuse_fallocate_in& asked) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr || !handle->writable) {
        return answer(device_, unique, EBADF);
    }
    const bool hole = asked.mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    const bool zero = asked.mode == FALLOC_FL_ZERO_RANGE || asked.mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    const std::uint64_t size = handle->view->info().geometry.size;
    const std::uint64_t end = asked.offset + asked.length;
    if ((!hole && !zero) || (end > size && asked.mode == FALLOC_FL_ZERO_RANGE)) {
        return answer(device_, unique, EOPNOTSUPP);
    }
    if (asked.offset >= size) {
        return answer(device_, unique, 0);
    }
    Io& io = new_io(unique, *handle, IoOperation::write_zeroes);
    io.request.may_trim = hole;
    io.request.offset = asked.offset;
    const std::uint64_t length = std::min(end, size) - asked.offset;
    io.request.length = static_cast<std::uint32_t>(std::min(length, zeroes_at_once));
    io.zeroes_left = length - io.request.length;
    submit(io);
}

}  // namespace drivebay
