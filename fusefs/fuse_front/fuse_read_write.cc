#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "fusefs/fuse_front/fuse_io.h"
#include "fusefs/fuse_front/fuse_range.h"

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
        *io.handle->changed = std::chrono::nanoseconds(now).count();
        fuse_write_out written{};
        written.size = request.length;
        answer(io.unique, 0, std::as_bytes(std::span(&written, 1)));
    } else if (error == 0 && request.operation == IoOperation::read) {
        answer(io.unique, 0, std::span(request.data, request.length));
    } else {
        answer(io.unique, error);
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
        return answer(unique, EBADF);
    }
    const FuseRange range =
        clipped_range(asked.offset, std::min(asked.size, largest_request), handle->view->info().geometry.size);
    if (range.length == 0 && !handle->view->ended()) {
        return answer(unique, 0);
    }
    Io& io = new_io(unique, *handle, IoOperation::read);
    io.request.offset = range.offset;
    io.request.length = static_cast<std::uint32_t>(range.length);
    io.buffer = buffers_.take(io.request.length);
    io.request.data = io.buffer.data();
    if (!io.buffer) {
        answer(unique, ENOMEM);
        return answered(io);
    }
    submit(io);
}

void FuseChannel::write(std::uint64_t unique, const fuse_write_in& asked, std::byte* data) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr || !handle->writable) {
        return answer(unique, EBADF);
    }
    const FuseRange range = clipped_range(asked.offset, asked.size, handle->view->info().geometry.size);
    if (range.length == 0 && asked.size > 0) {
        return answer(unique, ENOSPC);
    }
    const bool copied = asked.size <= copy_limit;
    AlignedBuffer buffer = buffers_.take(copied ? asked.size : received_.capacity());
    if (!buffer) {
        return answer(unique, ENOMEM);
    }
    Io& io = new_io(unique, *handle, IoOperation::write);
    io.request.fua = (asked.flags & (O_SYNC | O_DSYNC)) != 0;
    io.request.offset = range.offset;
    io.request.length = static_cast<std::uint32_t>(range.length);
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
        return answer(unique, EBADF);
    }
    if (handle->view->info().admission.mode == Mode::read) {
        return answer(unique, 0);  // nothing of it can be unwritten
    }
    submit(new_io(unique, *handle, IoOperation::flush));
}

void FuseChannel::allocate(std::uint64_t unique, const fuse_fallocate_in& asked) {
    const FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr || !handle->writable) {
        return answer(unique, EBADF);
    }
    const FuseZeroing zeroing =
        judge_fallocate(asked.mode, asked.offset, asked.length, handle->view->info().geometry.size);
    if (zeroing.error != 0 || zeroing.range.length == 0) {
        return answer(unique, zeroing.error);
    }
    Io& io = new_io(unique, *handle, IoOperation::write_zeroes);
    io.request.may_trim = zeroing.may_trim;
    io.request.offset = zeroing.range.offset;
    io.request.length = static_cast<std::uint32_t>(std::min(zeroing.range.length, zeroes_at_once));
    io.zeroes_left = zeroing.range.length - io.request.length;
    submit(io);
}

}  // namespace drivebay
