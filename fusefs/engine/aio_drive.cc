#include "fusefs/engine/aio_drive.h"

#include <linux/fs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

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
    : LocalDrive(resources, std::move(file)), queue_(std::move(queue)) {}

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
    return task;
}

void AioDrive::start(IoRequest& request) {
    Task& task = new_task(request);
    switch (request.operation) {
        case IoOperation::read: return start_task(task);
        case IoOperation::flush: return start_flush(task);
        case IoOperation::cache:
        case IoOperation::block_status: return run_on_worker(task);
        default: return lock(task);
    }
}

void AioDrive::lock(Task& task) {
    const IoRequest& request = *task.request;
    const std::uint64_t end = request.offset + request.length;
    const bool whole_blocks = aligned(request.offset) && aligned(request.length);
    task.range.begin = request.offset - request.offset % file_.alignment;
    task.range.end = end + (file_.alignment - end % file_.alignment) % file_.alignment;
    task.range.exclusive = request.operation != IoOperation::write || !whole_blocks;
    task.locked = true;
    if (range_lock_.enter(task.range)) {
        start_task(task);
    }
}

void AioDrive::start_task(Task& task) {
    const IoRequest& request = *task.request;
    if (request.operation == IoOperation::write_zeroes || request.operation == IoOperation::trim) {
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
    task.offset = request.offset / file_.alignment * file_.alignment;
    task.length = static_cast<std::size_t>((request.offset + request.length - task.offset + file_.alignment - 1) /
                                           file_.alignment * file_.alignment);
    task.bounce = resources_.buffers.take(task.length);
    if (!task.bounce) {
        resources_.loop.at_round_end([this, &task] { finish_task(task, ENOMEM); });
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
    // Without it io_submit(2) waits for the inode's lock, for the allocation of blocks, for the device's queue (fs/ext4/file.c,
    // ext4_dio_write_iter): a worker may wait, this thread may not.
    block.aio_rw_flags |= nowait_works_ ? RWF_NOWAIT : 0;
    task.operation.done = [](AioOperation& operation, long result) {
        Task& finished = *static_cast<Task*>(operation.context);
        AioDrive& drive = finished.drive;
        if ((operation.block.aio_rw_flags & RWF_NOWAIT) != 0) {
            if (result == -EAGAIN) {
                return drive.transfer_on_worker(finished);
            }
            if (result == -EOPNOTSUPP || result == -EINVAL) {
                drive.nowait_works_ = false;
                return drive.continue_transfer(finished);
            }
        }
        drive.transferred(finished, result);
    };
    queue_->submit(task.operation);
}

void AioDrive::transfer_on_worker(Task& task) {
    const auto work = [this, &task] {
        const std::size_t left = task.length - task.moved;
        const std::uint64_t offset = task.offset + task.moved;
        return task.writing ? write_fully(file_.fd, task.memory + task.moved, left, offset, task.request->fua)
                            : read_fully(file_.fd, task.memory + task.moved, left, offset);
    };
    io_workers_.compute(work, [this, &task](int error) {
        transferred(task, error != 0 ? -error : static_cast<long>(task.length - task.moved));
    });
}

void AioDrive::transferred(Task& task, long result) {
    if (result < 0) {
        if (task.writing) {
            judge(*task.request, static_cast<int>(-result));
        }
        return finish_task(task, static_cast<int>(-result));
    }
    task.moved += static_cast<std::size_t>(result);
    if (task.moved < task.length) {
        // Nothing moved, or parts of a block: the file has been cut under the drive.
        if (result == 0 || !aligned(static_cast<std::uint64_t>(result))) {
            log::error("drive ends early", {{"source", path_}, {"offset", task.offset + task.moved}});
            return finish_task(task, EIO);
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
    finish_task(task, 0);
}

void AioDrive::start_flush(Task& task) {
    if (!aio_flush_works_) {
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
        const int error = result < 0 ? static_cast<int>(-result) : 0;
        drive.judge(*finished.request, error);
        drive.finish_task(finished, error);
    };
    queue_->submit(task.operation);
}

void AioDrive::run_on_worker(Task& task) {
    io_workers_.compute([this, &request = *task.request] { return perform(request); },
                        [this, &task](int error) {
                            judge(*task.request, error);
                            finish_task(task, error);
                        });
}

void AioDrive::finish_task(Task& task, int error) {
    IoRequest& request = *std::exchange(task.request, nullptr);
    task.bounce.reset();
    free_tasks_.push_back(&task);
    if (std::exchange(task.locked, false)) {
        now_held_.clear();
        range_lock_.leave(task.range, now_held_);
        // start_task() never completes anything by itself, so now_held_ is not touched again before the loop ends.
        for (RangeLock::Entry* held : now_held_) {
            start_task(*static_cast<Task*>(held->owner));
        }
    }
    finish(request, error);
}

}  // namespace drivebay
