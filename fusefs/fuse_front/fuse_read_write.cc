#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "fusefs/fuse_front/fuse_io.h"
#include "fusefs/fuse_front/fuse_range.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::uint64_t zeroes_at_once = 64 << 20;

}  // namespace

FuseChannel::Io& FuseChannel::new_io(KeptRequest& kept, FuseHandle& handle, IoOperation operation) {
    if (free_ios_ == nullptr) {
        ios_.push_back(std::make_unique<Io>());
        ios_.back()->channel = this;
        free_ios_ = ios_.back().get();
    }
    Io& io = *std::exchange(free_ios_, free_ios_->next_free);
    io.kept = &kept;
    io.handle = &handle;
    io.zeroes_left = 0;
    io.request = {};
    io.request.operation = operation;
    io.request.asked_at = Instant(Duration(kept.received_at));
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

// Its state goes before its answer: a successor repeats no write that the asker knows of.
void FuseChannel::answer_early(Io& io) {
    shared_.requests.answered(*io.kept);
    ++io.handle->unsent;
    send_written(io);
}

void FuseChannel::send_written(Io& io) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    *io.handle->changed = std::chrono::nanoseconds(now).count();
    fuse_write_out written{};
    written.size = io.request.length;
    send(io.kept->unique, 0, std::as_bytes(std::span(&written, 1)));
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
    if (request.answered_early) {
        forget(*io.kept);
        FuseHandle& handle = *io.handle;
        if (--handle.unsent == 0) {
            for (const auto& waiting : std::exchange(handle.all_sent, {})) {
                waiting();
            }
        }
    } else if (changes_drive(request.operation)) {
        if (error == 0 && request.operation == IoOperation::write) {
            shared_.requests.applied(*io.kept, static_cast<std::int32_t>(request.length));
            send_written(io);
            forget(*io.kept);
        } else {
            shared_.requests.applied(*io.kept, -error);
            answer(*io.kept, error);
        }
    } else if (error == 0 && request.operation == IoOperation::read) {
        answer(*io.kept, 0, std::span(request.data, request.length));
    } else {
        answer(*io.kept, error);
    }
    release(io);
}

// From the answer on the handle may be gone.
void FuseChannel::release(Io& io) {
    io.buffer.reset();
    io.next_free = std::exchange(free_ios_, &io);
    if (--unanswered_ == 0 && idle_) {
        std::exchange(idle_, {})();
    }
}

void FuseChannel::answer_again(KeptRequest& kept) {
    if (kept.outcome <= 0) {
        return answer(kept, -kept.outcome);
    }
    fuse_write_out written{};
    written.size = static_cast<std::uint32_t>(kept.outcome);
    answer(kept, 0, std::as_bytes(std::span(&written, 1)));
}

void FuseChannel::read(KeptRequest& kept, const fuse_read_in& asked) {
    FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr) {
        return answer(kept, EBADF);
    }
    const FuseRange range =
        clipped_range(asked.offset, std::min(asked.size, largest_request), handle->view->info().geometry.size);
    if (range.length == 0 && !handle->view->ended()) {
        return answer(kept, 0);
    }
    Io& io = new_io(kept, *handle, IoOperation::read);
    io.request.offset = range.offset;
    io.request.length = static_cast<std::uint32_t>(range.length);
    io.buffer = buffers_.take(io.request.length);
    io.request.data = io.buffer.data();
    if (!io.buffer) {
        answer(kept, ENOMEM);
        return release(io);
    }
    submit(io);
}

void FuseChannel::write(KeptRequest& kept, const fuse_write_in& asked) {
    FuseHandle* const handle = shared_.handles.find(asked.fh);
    const bool was_answered = kept.state.load() == KeptRequest::answered;
    if (handle == nullptr || !handle->writable) {
        if (was_answered) {
            log::error("an answered write is lost: its file is not open any more", {{"bytes", asked.size}});
        }
        return answer(kept, EBADF);
    }
    const FuseRange range = clipped_range(asked.offset, asked.size, handle->view->info().geometry.size);
    if (range.length == 0 && asked.size > 0) {
        return answer(kept, ENOSPC);
    }
    Io& io = new_io(kept, *handle, IoOperation::write);
    io.request.fua = (asked.flags & (O_SYNC | O_DSYNC)) != 0;
    io.request.offset = range.offset;
    io.request.length = static_cast<std::uint32_t>(range.length);
    io.request.data = shared_.requests.data(kept);
    if (was_answered) {
        io.request.answered_early = true;
        ++handle->unsent;
        send_written(io);  // again: who answered it died perhaps before the answer left
    } else if (shared_.requests.may_stay(kept)) {
        io.request.answer_early = [](IoRequest& request) {
            Io& early = *static_cast<Io*>(request.context);
            early.channel->answer_early(early);
        };
    }
    submit(io);
}

void FuseChannel::sync(KeptRequest& kept, const fuse_fsync_in& asked) {
    FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr) {
        return answer(kept, EBADF);
    }
    if (handle->view->info().admission.mode == Mode::read) {
        return answer(kept, 0);  // nothing of it can be unwritten
    }
    submit(new_io(kept, *handle, IoOperation::flush));
}

void FuseChannel::allocate(KeptRequest& kept, const fuse_fallocate_in& asked) {
    FuseHandle* const handle = shared_.handles.find(asked.fh);
    if (handle == nullptr || !handle->writable) {
        return answer(kept, EBADF);
    }
    const FuseZeroing zeroing =
        judge_fallocate(asked.mode, asked.offset, asked.length, handle->view->info().geometry.size);
    if (zeroing.error != 0 || zeroing.range.length == 0) {
        return answer(kept, zeroing.error);
    }
    Io& io = new_io(kept, *handle, IoOperation::write_zeroes);
    io.request.may_trim = zeroing.may_trim;
    io.request.offset = zeroing.range.offset;
    io.request.length = static_cast<std::uint32_t>(std::min(zeroing.range.length, zeroes_at_once));
    io.zeroes_left = zeroing.range.length - io.request.length;
    submit(io);
}

}  // namespace drivebay
