// A drive on a file or block device by libaio and O_DIRECT: nothing is kept in the page cache, nothing is written later
// than it is answered.
//
// A request of any offset, length and memory is taken: what O_DIRECT cannot take goes through a bounce buffer, and a
// write of parts of a block is read, changed and written back while overlapping writes wait. FUA is RWF_DSYNC, a flush
// is IO_CMD_FDSYNC. Loop thread only.
#pragma once

#include <memory>
#include <vector>

#include "fusefs/engine/aio_queue.h"
#include "fusefs/engine/local_drive.h"
#include "fusefs/engine/range_lock.h"

namespace drivebay {

class AioDrive final : public LocalDrive {
public:
    AioDrive(AioResources resources, std::unique_ptr<AioQueue> queue, OpenedFile file);
    ~AioDrive() override;

private:
    struct Task;

    void start(IoRequest& request) override;
    Task& new_task(IoRequest& request);
    void lock(Task& task);
    void start_task(Task& task);
    void start_transfer(Task& task, bool write);
    void continue_transfer(Task& task);
    void transfer_on_worker(Task& task);
    void transferred(Task& task, long result);
    void start_flush(Task& task);
    void run_on_worker(Task& task);
    void finish_task(Task& task, int error);
    bool aligned(std::uint64_t value) const { return value % file_.alignment == 0; }

    const std::unique_ptr<AioQueue> queue_;
    RangeLock range_lock_;
    std::vector<std::unique_ptr<Task>> tasks_;  // all there are
    std::vector<Task*> free_tasks_;
    std::vector<RangeLock::Entry*> now_held_;
    bool aio_flush_works_ = true;
    bool nowait_works_ = true;  // the file system knows RWF_NOWAIT
};

}  // namespace drivebay
