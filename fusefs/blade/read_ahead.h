// Reads of a drive before they are asked for, where a host reads on and on: a LUN asks for 16 KiB at a time and waits for
// them, so that each would cost a round trip to the management module. What was read ahead is as old as the reading; so
// whatever changes the drive through this blade, the only one that may, is to be told to forget(). Loop thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <vector>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/drive.h"
#include "fusefs/loop/event_loop.h"

namespace drivebay {

class ReadAhead {
public:
    static constexpr std::uint32_t least_window = 128 << 10;  // bytes ahead of a reader that has just begun
    static constexpr std::uint32_t most_window = 4 << 20;
    static constexpr std::uint64_t most = 8 << 20;            // of all readers of a drive
    static constexpr std::uint32_t largest_read = 128 << 10;  // who asks for more at once needs no help

    struct Drive {
        std::function<void(IoRequest&)> submit;   // a read goes there
        std::function<void(IoRequest&)> awaited;  // somebody waits now for one that nobody asked for
        std::function<std::uint64_t()> rate;      // bytes a second that it has lately moved (LinkRate)
    };

    ReadAhead(EventLoop& loop, Drive drive);
    // When nothing of it is at the drive.
    ~ReadAhead();
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;

    // True: it will be done with what was, or is being, read ahead; if that fails, it is submitted by itself.
    bool serve(IoRequest& request);
    // After each read, served or submitted: what comes next is read, if that can be told. `size`: the drive's.
    void advance(const IoRequest& request, std::uint64_t size);
    // The range is being written.
    void forget(std::uint64_t offset, std::uint64_t length);

    std::uint64_t held() const { return held_; }

private:
    struct Reader;
    struct Chunk {
        ReadAhead* owner = nullptr;
        const Reader* reader = nullptr;  // only compared
        IoRequest request;
        AlignedBuffer buffer;
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        bool ready = false;
        bool stale = false;  // to go as soon as it is ready
        std::vector<IoRequest*> waiting;
        std::list<Chunk>::iterator self;
    };
    struct Reader {
        std::uint64_t next = 0;   // where it goes on if it reads in order
        std::uint64_t ahead = 0;  // everything before is asked for
        std::uint32_t window = 0;
        std::uint64_t turn = 0;   // when it read last
        std::uint32_t piece = 0;  // what it reads at once
    };

    Chunk* find(std::uint64_t offset);
    void extend(Reader& reader, std::uint64_t size);
    std::uint64_t chunk_of(const Reader& reader) const;
    void wait_for(Chunk& chunk, IoRequest& request);
    void begin(std::uint64_t next);
    void done(Chunk& chunk, int error);
    void drop(Chunk& chunk);
    // Those that `goes` is true of: now, or once they have been read.
    template <class Condition>
    void drop_if(Condition goes);
    static void copy(const Chunk& chunk, IoRequest& request);
    void finish_later(IoRequest& request);
    void forget_when_idle();

    EventLoop& loop_;
    const Drive drive_;
    BufferPool buffers_{std::size_t{1} << 20};
    std::list<Chunk> chunks_;  // oldest first
    std::array<Reader, 4> readers_;
    std::uint64_t turns_ = 0;
    std::uint64_t turns_seen_ = 0;
    std::uint64_t held_ = 0;
    EventLoop::TimerId idle_timer_ = 0;
    std::vector<IoRequest*> finished_;
};

}  // namespace drivebay
