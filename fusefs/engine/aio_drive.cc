#include "fusefs/engine/aio_drive.h"

#include <linux/fs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

// Of one drive, begun as they are needed: for what libaio cannot do, and for all of it in the page cache.
constexpr std::size_t io_threads = 8;

}  // namespace

// One request on its way. Kept for the next one, never freed while the drive lives.
struct AioDrive::Task {
    explicit Task(AioDrive& owner) : drive(owner) {
        operation.context = this;
        range.owner = this;
    }

    AioDrive& drive;
    AioOperation operation;
    IoRequest* request = nullptr;
    RangeLock::Entry range;
    bool locked = false;
    // The transfer under way: whole blocks, by way of `bounce` if that is set.
    bool writing = false;
    AlignedBuffer bounce;
    std::byte* memory = nullptr;
    std::uint64_t offset = 0;
    std::size_t length = 0;
    std::size_t moved = 0;
};

AioDrive::AioDrive(AioResources resources, std::unique_ptr<AioQueue> queue, OpenedFile file)
    : resources_(resources),
      queue_(std::move(queue)),
      path_(std::move(file.path)),
      geometry_(file.geometry),
      direct_(file.direct),
      alignment_(file.alignment),
      fd_(std::move(file.fd)),
      workers_(resources.loop, "drive-io", io_threads) {
    file_.fd = fd_.get();
    file_.is_block_device = file.is_block_device;
    file_.direct = file.direct;
    file_.alignment = file.alignment;
}

AioDrive::~AioDrive() = default;

AioDrive::Task& AioDrive::new_task(IoRequest& request) {
    if (free_tasks_.empty()) {
        tasks_.push_back(std::make_unique<Task>(*this));
        free_tasks_.push_back(tasks_.back().get());
    }
    Task& task = *free_tasks_.back();
    free_tasks_.pop_back();
    task.request = &request;
    task.moved = 0;
    ++in_flight_;
    return task;
}

void AioDrive::refuse(IoRequest& request, int error) {
    ++in_flight_;
    resources_.loop.at_round_end([this, &request, error] {
        --in_flight_;
        request.done(request, error);
        close_if_idle();
    });
}

void AioDrive::submit(IoRequest& request) {
    const bool changes = request.operation != IoOperation::read && request.operation != IoOperation::flush;
    if (closed_) {
        return refuse(request, ESHUTDOWN);
    }
    if (changes && geometry_.read_only) {
        return refuse(request, EROFS);
    }
    if (!failure_.empty() && request.operation != IoOperation::read) {
        return refuse(request, EIO);
    }
    if (request.operation == IoOperation::flush) {
        return start_flush(new_task(request));
    }
    if (request.offset > geometry_.size || request.length > geometry_.size - request.offset) {
        return refuse(request, EINVAL);
    }
    if (request.length == 0) {
        return refuse(request, 0);
    }
    Task& task = new_task(request);
    if (changes) {
        lock(task);
    } else {
        start(task);
    }
}

void AioDrive::lock(Task& task) {
    const IoRequest& request = *task.request;
    const std::uint64_t end = request.offset + request.length;
    const bool whole_blocks = aligned(request.offset) && aligned(request.length);
    task.range.begin = request.offset;
    task.range.end = end;
    task.range.exclusive = request.operation != IoOperation::write || (direct_ && !whole_blocks);
    if (direct_) {
        task.range.begin -= task.range.begin % alignment_;
        task.range.end += (alignment_ - end % alignment_) % alignment_;
    }
    task.locked = true;
    if (range_lock_.enter(task.range)) {
        start(task);
    }
}

void AioDrive::start(Task& task) {
    const IoRequest& request = *task.request;
    if (!direct_ || request.operation == IoOperation::write_zeroes || request.operation == IoOperation::trim) {
        return run_on_worker(task);
    }
    const bool write = request.operation == IoOperation::write;
    const bool whole_blocks = aligned(request.offset) && aligned(request.length);
    task.offset = request.offset;
    task.length = request.length;
    task.memory = request.data;
    if (whole_blocks && aligned(reinterpret_cast<std::uintptr_t>(request.data))) {
        return start_transfer(task, write);
    }
    task.offset = request.offset / alignment_ * alignment_;
    task.length = static_cast<std::size_t>((request.offset + request.length - task.offset + alignment_ - 1) /
                                           alignment_ * alignment_);
    task.bounce = resources_.buffers.take(task.length);
    if (!task.bounce) {
        resources_.loop.at_round_end([this, &task] { finish(task, ENOMEM); });
        return;
    }
    task.memory = task.bounce.data();
    if (write && whole_blocks) {
        std::memcpy(task.memory, request.data, request.length);
        return start_transfer(task, true);
    }
    start_transfer(task, false);
}

void AioDrive::start_transfer(Task& task, bool write) {
    task.writing = write;
    task.moved = 0;
    continue_transfer(task);
}

void AioDrive::continue_transfer(Task& task) {
    iocb& block = task.operation.block;
    const std::size_t left = task.length - task.moved;
    const auto offset = static_cast<long long>(task.offset + task.moved);
    if (task.writing) {
        io_prep_pwrite(&block, fd_.get(), task.memory + task.moved, left, offset);
        block.aio_rw_flags = task.request->fua ? RWF_DSYNC : 0;
    } else {
        io_prep_pread(&block, fd_.get(), task.memory + task.moved, left, offset);
    }
    task.operation.done = [](AioOperation& operation, long result) {
        Task& finished = *static_cast<Task*>(operation.context);
        finished.drive.transferred(finished, result);
    };
    queue_->submit(task.operation);
}

void AioDrive::transferred(Task& task, long result) {
    if (result < 0) {
        if (task.writing && task.request->fua && result == -EIO) {
            note_failed_flush(EIO);
        }
        return finish(task, static_cast<int>(-result));
    }
    task.moved += static_cast<std::size_t>(result);
    if (task.moved < task.length) {
        // Nothing moved, or parts of a block: the file has been cut under the drive.
        if (result == 0 || !aligned(static_cast<std::uint64_t>(result))) {
            log::error("drive ends early", {{"source", path_}, {"offset", task.offset + task.moved}});
            return finish(task, EIO);
        }
        return continue_transfer(task);
    }
    IoRequest& request = *task.request;
    if (task.bounce && !task.writing) {
        std::byte* const inside = task.memory + (request.offset - task.offset);
        if (request.operation == IoOperation::write) {
            std::memcpy(inside, request.data, request.length);
            return start_transfer(task, true);
        }
        std::memcpy(request.data, inside, request.length);
    }
    finish(task, 0);
}

void AioDrive::start_flush(Task& task) {
    if (!direct_ || !aio_flush_works_) {
        return run_on_worker(task);
    }
    io_prep_fdsync(&task.operation.block, fd_.get());
    task.operation.done = [](AioOperation& operation, long result) {
        Task& finished = *static_cast<Task*>(operation.context);
        AioDrive& drive = finished.drive;
        if (result == -EINVAL || result == -EOPNOTSUPP) {
            drive.aio_flush_works_ = false;
            return drive.run_on_worker(finished);
        }
        if (result < 0) {
            drive.note_failed_flush(static_cast<int>(-result));
        }
        drive.finish(finished, result < 0 ? static_cast<int>(-result) : 0);
    };
    queue_->submit(task.operation);
}

void AioDrive::run_on_worker(Task& task) {
    const IoRequest& request = *task.request;
    const auto work = [this, &request]() -> int {
        switch (request.operation) {
            case IoOperation::read: return read_fully(file_.fd, request.data, request.length, request.offset);
            case IoOperation::write:
                return write_fully(file_.fd, request.data, request.length, request.offset, request.fua);
            case IoOperation::flush: return fdatasync(file_.fd) == 0 ? 0 : errno;
            case IoOperation::write_zeroes:
                return zero_range(file_, request.offset, request.length, request.may_trim, request.fua);
            case IoOperation::trim: {
                const int error = trim_range(file_, request.offset, request.length);
                return error == 0 && request.fua && fdatasync(file_.fd) != 0 ? errno : error;
            }
        }
        return EINVAL;
    };
    workers_.compute(work, [this, &task](int error) {
        if (error != 0 && (task.request->operation == IoOperation::flush || (task.request->fua && error == EIO))) {
            note_failed_flush(error);
        }
        finish(task, error);
    });
}

void AioDrive::finish(Task& task, int error) {
    IoRequest& request = *std::exchange(task.request, nullptr);
    task.bounce.reset();
    --in_flight_;
    free_tasks_.push_back(&task);
    if (std::exchange(task.locked, false)) {
        now_held_.clear();
        range_lock_.leave(task.range, now_held_);
        // start() never completes anything by itself, so now_held_ is not touched again before the loop ends.
        for (RangeLock::Entry* held : now_held_) {
            start(*static_cast<Task*>(held->owner));
        }
    }
    request.done(request, error);
    close_if_idle();
}

void AioDrive::note_failed_flush(int error) {
    if (failure_.empty()) {
        failure_ = system_error(error, "a flush of " + log::quoted(path_) + " failed, so what was written since the one " +
                                           "before may be lost; the drive takes no more writes until it is refreshed")
                       .message;
        log::error("flush failed", {{"source", path_}, {"error", error}});
    }
}

void AioDrive::close(std::function<void()> closed) {
    closed_ = std::move(closed);
    // Not from inside the call: what close() interrupted may still stand on this drive.
    resources_.loop.at_round_end([this] {
        close_due_ = true;
        close_if_idle();
    });
}

void AioDrive::close_if_idle() {
    if (!close_due_ || in_flight_ > 0 || !fd_) {
        return;
    }
    // The last close of a block device waits for its page cache, the lock of a file goes only with it.
    const int fd = fd_.release();
    resources_.workers.run([fd] { ::close(fd); }, [closed = std::move(closed_)] { closed(); });
    closed_ = [] {};
}

}  // namespace drivebay
