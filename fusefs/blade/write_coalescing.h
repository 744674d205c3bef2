// Answered writes of a host that writes on and on, sent as one: a LUN writes 16 KiB at a time, and each would be a request of
// its own to the management module and to the drive there. A write is held back only while the one that it continues is at
// the drive, so nothing waits that could be under way; what goes together moves in a quarter of a second, and succeeds or
// fails together. Loop thread only; no clock in here.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <utility>
#include <vector>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/drive.h"

namespace drivebay {

class WriteCoalescing {
public:
    static constexpr std::uint32_t largest = 256 << 10;       // bytes, of what goes as one, however fast the link is
    static constexpr std::uint32_t largest_part = 128 << 10;  // who writes more at once needs no help

    // `submit` sends a request to the drive, which has lately moved `rate` bytes a second (LinkRate).
    WriteCoalescing(std::function<void(IoRequest&)> submit, std::function<std::uint64_t()> rate)
        : submit_(std::move(submit)), rate_(std::move(rate)) {}
    // When nothing of it is at the drive.
    ~WriteCoalescing() = default;
    WriteCoalescing(const WriteCoalescing&) = delete;
    WriteCoalescing& operator=(const WriteCoalescing&) = delete;

    // A write that was answered early: it goes to the drive, now or with others.
    void take(IoRequest& write);
    // What is held back goes first if it has to be at the drive before `request`: in its range, or what a flush is to cover.
    void send_before(const IoRequest& request);

private:
    struct Run {
        WriteCoalescing* owner = nullptr;
        IoRequest request;
        std::uint64_t end() const { return request.offset + request.length; }
        std::vector<IoRequest*> parts;
        AlignedBuffer buffer;  // of more than one part
        std::list<Run>::iterator self;
    };

    std::uint32_t most() const;
    Run& begin(IoRequest& write);
    // False: it does not continue it, or there is no room.
    bool join(Run& run, IoRequest& write);
    void send_held();
    void send(Run& run);
    void done(Run& run, int error);

    const std::function<void(IoRequest&)> submit_;
    const std::function<std::uint64_t()> rate_;
    BufferPool buffers_{2 * largest};
    std::list<Run> runs_;
    Run* last_ = nullptr;  // the last that was sent, while it is at the drive
    Run* held_ = nullptr;  // what continues it
};

}  // namespace drivebay
