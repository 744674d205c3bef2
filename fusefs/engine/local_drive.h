// What all drives on files and block devices of this machine have in common: what is refused before it reaches the file,
// failed flushes, what can only be done by a blocking call, and the way they end. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/blocking_io.h"
#include "fusefs/engine/drive.h"
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

class LocalDrive : public Drive {
public:
    DriveGeometry geometry() const override { return geometry_; }
    void submit(IoRequest& request) override;
    void close(std::function<void()> closed) override;
    std::string failure() const override { return failure_; }

protected:
    LocalDrive(AioResources resources, OpenedFile file);
    // Only after close() has called back, or with nothing ever submitted.
    ~LocalDrive() override;

    // A request within the drive's bounds, or a flush. finish() is owed, not from inside the call.
    virtual void start(IoRequest& request) = 0;

    void finish(IoRequest& request, int error);
    // finish() with what the operation came to on a thread of the drive's own.
    void finish_on_worker(IoRequest& request);
    // Blocks. Any thread.
    int perform(const IoRequest& request);
    // What an operation's error means for the drive: one that was to be durable and failed makes it refuse writes.
    void judge(const IoRequest& request, int error);

    const AioResources resources_;
    const std::string path_;
    const DriveGeometry geometry_;
    UniqueFd fd_;
    BlockFile file_;
    WorkerPool io_workers_;

private:
    void refuse(IoRequest& request, int error);
    void close_if_idle();

    std::string failure_;
    std::uint64_t in_flight_ = 0;
    std::function<void()> closed_;  // set: no more submissions
    bool close_due_ = false;
};

}  // namespace drivebay
