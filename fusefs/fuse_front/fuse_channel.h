// One descriptor of the mounted filesystem on one loop: it receives what the kernel asks, serves what moves data by
// itself (READ, WRITE, FSYNC, FALLOCATE; include/uapi/linux/fuse.h), and hands everything else to libfuse. Data do not
// go through libfuse because it allocates and locks for each request. Every request lies in kept memory until it is done
// with, so that the next server finds it there. Loop thread only.
#pragma once

#include <linux/fuse.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/drive.h"
#include "fusefs/fuse_front/fuse_handles.h"
#include "fusefs/keeper/kept_requests.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"

namespace drivebay {

class FuseChannel final : private Poller {
public:
    struct Shared {
        FuseHandles& handles;
        KeptRequests& requests;
        // What libfuse is to serve; the bytes are there during the call only. Its answers go through answer_of_libfuse().
        std::function<void(std::span<const std::byte> message)> others;
        // The filesystem is not mounted any more.
        std::function<void()> unmounted;
    };

    // The largest read and write.
    static constexpr std::uint32_t largest_request = KeptLayout::largest_data;

    // `device` and `shared` outlive it.
    FuseChannel(EventLoop& loop, int device, Shared& shared);
    // After stop() has called back, or never started.
    ~FuseChannel() override;
    FuseChannel(const FuseChannel&) = delete;
    FuseChannel& operator=(const FuseChannel&) = delete;

    // First of all what a dead server left is done or answered. `refuse_suspects`: what several servers died over gets
    // EIO.
    void start(bool refuse_suspects);
    // writev(2) to the device, and the request is done with.
    ssize_t answer_of_libfuse(const iovec* parts, int count);
    // Receives nothing more; `idle` runs once what it serves itself is answered, perhaps from inside the call.
    void stop(std::function<void()> idle);

private:
    struct Io;

    bool poll() override;
    bool is_front() const override { return true; }
    std::size_t receive_one();
    void receive(bool wanted);
    void take_over(KeptRequest& kept, bool refuse_suspects);
    void serve(KeptRequest& kept);
    // `error` is 0 or an errno.
    void send(std::uint64_t unique, int error, std::span<const std::byte> data = {});
    void answer(KeptRequest& kept, int error, std::span<const std::byte> data = {});
    void answer_again(KeptRequest& kept);
    void send_written(Io& io);
    void forget(KeptRequest& kept);
    void read(KeptRequest& kept, const fuse_read_in& asked);
    void write(KeptRequest& kept, const fuse_write_in& asked);
    void sync(KeptRequest& kept, const fuse_fsync_in& asked);
    void allocate(KeptRequest& kept, const fuse_fallocate_in& asked);
    Io& new_io(KeptRequest& kept, FuseHandle& handle, IoOperation operation);
    void submit(Io& io);
    void answer_early(Io& io);
    void done(Io& io, int error);
    void release(Io& io);

    EventLoop& loop_;
    const int device_;
    Shared& shared_;
    BufferPool buffers_;
    std::unordered_map<std::uint64_t, KeptRequest*> with_libfuse_;  // by the kernel's number
    std::vector<std::unique_ptr<Io>> ios_;  // all there are
    Io* free_ios_ = nullptr;
    std::size_t unanswered_ = 0;
    bool receiving_ = false;
    bool starving_ = false;  // receives nothing until a request is done with
    std::function<void()> idle_;
};

}  // namespace drivebay
