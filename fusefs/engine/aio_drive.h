// A drive on a file or block device: libaio with O_DIRECT, or, where the file system has no O_DIRECT, page-cache I/O on
// worker threads (buffered libaio would block the loop inside io_submit).
//
// A request of any offset, length and memory is taken: what O_DIRECT cannot take goes through a bounce buffer, and a
// write of parts of a block is read, changed and written back while overlapping writes wait. FUA is RWF_DSYNC, a flush
// is IO_CMD_FDSYNC. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/aio_queue.h"
#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/blocking_io.h"
#include "fusefs/engine/drive.h"
#include "fusefs/engine/range_lock.h"
#include "fusefs/loop/event_loop.h"
#include "fusefs/loop/worker_pool.h"
#include "lib/base/fd.h"

namespace drivebay {

// What several drives of a loop share; outlives them.
struct AioResources {
    EventLoop& loop;
    WorkerPool& workers;  // for opening and closing; a drive's own I/O has threads of its own
    BufferPool& buffers;
};

// A source opened and judged; see open_drive.h.
struct OpenedFile {
    UniqueFd fd;  // its lock, or O_EXCL, goes with it
    std::string path;
    DriveGeometry geometry;
    bool is_block_device = false;
    bool direct = false;
    std::uint32_t alignment = 512;  // of offsets, lengths and memory, if direct; divides the size
};

class AioDrive final : public Drive {
public:
    AioDrive(AioResources resources, std::unique_ptr<AioQueue> queue, OpenedFile file);
    // Only after close() has called back, or with nothing ever submitted.
    ~AioDrive() override;

    DriveGeometry geometry() const override { return geometry_; }
    void submit(IoRequest& request) override;
    void close(std::function<void()> closed) override;
    std::string failure() const override { return failure_; }

private:
    struct Task;

    Task& new_task(IoRequest& request);
    void lock(Task& task);
    void start(Task& task);
    void start_transfer(Task& task, bool write);
    void continue_transfer(Task& task);
    void transferred(Task& task, long result);
    void start_flush(Task& task);
    void run_on_worker(Task& task);
    void finish(Task& task, int error);
    void refuse(IoRequest& request, int error);
    void note_failed_flush(int error);
    void close_if_idle();
    bool aligned(std::uint64_t value) const { return value % alignment_ == 0; }

    AioResources resources_;
    const std::unique_ptr<AioQueue> queue_;
    const std::string path_;
    const DriveGeometry geometry_;
    const bool direct_;
    const std::uint32_t alignment_;
    UniqueFd fd_;
    BlockFile file_;
    RangeLock range_lock_;
    std::vector<std::unique_ptr<Task>> tasks_;  // all there are
    std::vector<Task*> free_tasks_;
    std::vector<RangeLock::Entry*> now_held_;
    bool aio_flush_works_ = true;
    std::string failure_;
    std::uint64_t in_flight_ = 0;
    std::function<void()> closed_;  // set: no more submissions
    bool close_due_ = false;
    WorkerPool workers_;  // last: its threads end while what they work on is there
};

}  // namespace drivebay
