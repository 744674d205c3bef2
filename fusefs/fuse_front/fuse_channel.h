// One descriptor of the mounted filesystem on one loop: it receives what the kernel asks, serves what moves data by
// itself (READ, WRITE, FSYNC, FALLOCATE; include/uapi/linux/fuse.h), and hands everything else to libfuse. Data do not
// go through libfuse because it allocates and locks for each request. Loop thread only.
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/drive.h"
#include "fusefs/fuse_front/fuse_handles.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"

namespace drivebay {

class FuseChannel final : private Poller {
public:
    struct Shared {
        FuseHandles& handles;
        // What libfuse is to serve; the bytes are there during the call only.
        std::function<void(std::span<const std::byte> message)> others;
        // The filesystem is not mounted any more.
        std::function<void()> unmounted;
    };

    // The largest read and write.
    static constexpr std::uint32_t largest_request = 1 << 20;

    // `device` and `shared` outlive it. An empty pointer: no memory.
    static std::unique_ptr<FuseChannel> create(EventLoop& loop, int device, Shared& shared);
    // After stop() has called back, or never started.
    ~FuseChannel() override;
    FuseChannel(const FuseChannel&) = delete;
    FuseChannel& operator=(const FuseChannel&) = delete;

    void start();
    // Receives nothing more; `idle` runs once what it serves itself is answered, perhaps from inside the call.
    void stop(std::function<void()> idle);

private:
    struct Io;

    FuseChannel(EventLoop& loop, int device, Shared& shared, AlignedBuffer first);
    bool poll() override;
    void serve(std::span<std::byte> message);
    // `error` is 0 or an errno.
    void answer(std::uint64_t unique, int error, std::span<const std::byte> data = {});
    void read(std::uint64_t unique, const fuse_read_in& asked);
    void write(std::uint64_t unique, const fuse_write_in& asked, std::byte* data);
    void sync(std::uint64_t unique, const fuse_fsync_in& asked);
    void allocate(std::uint64_t unique, const fuse_fallocate_in& asked);
    Io& new_io(std::uint64_t unique, const FuseHandle& handle, IoOperation operation);
    void submit(Io& io);
    void done(Io& io, int error);
    void answered(Io& io);
    void stop_receiving();

    EventLoop& loop_;
    const int device_;
    Shared& shared_;
    BufferPool buffers_;
    AlignedBuffer received_;  // holds the request that is being served; a large write keeps it, and leaves another
    std::vector<std::unique_ptr<Io>> ios_;  // all there are
    Io* free_ios_ = nullptr;
    std::size_t unanswered_ = 0;
    bool receiving_ = false;
    std::function<void()> idle_;
};

}  // namespace drivebay
