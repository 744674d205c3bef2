#include "fusefs/blade/read_ahead.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace drivebay {

namespace {

// What nobody has asked for in this time is forgotten: memory that is not used, and bytes that grow old.
constexpr Duration idle_time = std::chrono::seconds(2);
constexpr std::uint32_t least_chunk = 64 << 10;
constexpr std::uint32_t most_chunk = 512 << 10;
// An answer to what is asked ahead comes in half of what is a stall (PauseLimit), and all of it within a second.
constexpr std::uint64_t chunks_a_second = 4;
constexpr std::uint32_t grain = 16 << 10;

}  // namespace

ReadAhead::ReadAhead(EventLoop& loop, Drive drive) : loop_(loop), drive_(std::move(drive)) {}

ReadAhead::~ReadAhead() { loop_.cancel(idle_timer_); }

ReadAhead::Chunk* ReadAhead::find(std::uint64_t offset) {
    const auto found = std::ranges::find_if(
        chunks_, [&](const Chunk& chunk) { return !chunk.stale && chunk.begin <= offset && offset < chunk.end; });
    return found == chunks_.end() ? nullptr : &*found;
}

bool ReadAhead::serve(IoRequest& request) {
    const std::uint64_t end = request.offset + request.length;
    Chunk* const first = find(request.offset);
    Chunk* const second = first == nullptr || end <= first->end ? first : find(first->end);
    if (second == nullptr || second->end < end) {
        return false;
    }
    for (Chunk* const chunk : {first, second}) {
        if (!chunk->ready) {
            wait_for(*chunk, request);
            return true;
        }
    }
    copy(*first, request);
    copy(*second, request);
    finish_later(request);
    return true;
}

void ReadAhead::wait_for(Chunk& chunk, IoRequest& request) {
    chunk.waiting.push_back(&request);
    if (!std::exchange(chunk.request.awaited, true)) {
        chunk.request.asked_at = request.asked_at;
        drive_.awaited(chunk.request);
    }
}

// What it has of it.
void ReadAhead::copy(const Chunk& chunk, IoRequest& request) {
    const std::uint64_t begin = std::max(chunk.begin, request.offset);
    const std::uint64_t end = std::min(chunk.end, request.offset + request.length);
    std::memcpy(request.data + (begin - request.offset), chunk.buffer.data() + (begin - chunk.begin), end - begin);
}

void ReadAhead::finish_later(IoRequest& request) {
    finished_.push_back(&request);
    if (finished_.size() == 1) {
        loop_.at_round_end([this] {
            for (IoRequest* const done : std::exchange(finished_, {})) {
                done->done(*done, 0);
            }
        });
    }
}

void ReadAhead::advance(const IoRequest& request, std::uint64_t size) {
    const std::uint64_t end = request.offset + request.length;
    const auto found = std::ranges::find(readers_, request.offset, &Reader::next);
    if (request.length > largest_read || found == readers_.end() || found->turn == 0) {
        return begin(end);
    }
    Reader& reader = *found;
    reader.next = end;
    reader.turn = ++turns_;
    const std::uint64_t before = held_;
    drop_if([&](const Chunk& chunk) { return chunk.reader == &reader && chunk.end <= request.offset; });
    reader.window = std::clamp(held_ < before ? reader.window * 2 : reader.window, least_window, most_window);
    reader.piece = request.length;
    extend(reader, size);
}

// In place of the reader that has not read for longest.
void ReadAhead::begin(std::uint64_t next) {
    Reader& reader = *std::ranges::min_element(readers_, {}, &Reader::turn);
    drop_if([&](const Chunk& chunk) { return chunk.reader == &reader; });
    reader = {next, next, 0, ++turns_, 0};
}

// No less than what is read at once, so that two of them hold it.
std::uint64_t ReadAhead::chunk_of(const Reader& reader) const {
    const std::uint64_t wanted = std::clamp(reader.window / 4, least_chunk, most_chunk);
    const std::uint64_t in_time = drive_.rate() / chunks_a_second / grain * grain;
    return std::max<std::uint64_t>({std::min(wanted, in_time), reader.piece, grain});
}

void ReadAhead::extend(Reader& reader, std::uint64_t size) {
    const std::uint64_t step = chunk_of(reader);
    const std::uint64_t window = std::max(std::min<std::uint64_t>(reader.window, drive_.rate()), 2 * step);
    const std::uint64_t target = std::min(reader.next + window, size);
    reader.ahead = std::max(reader.ahead, reader.next);
    // Half of a step at the end is not worth a request of its own yet.
    while (reader.ahead < target && (target - reader.ahead >= step / 2 || target == size)) {
        const std::uint64_t begin = reader.ahead;
        const std::uint64_t end = std::min(begin + step, size);
        if (find(begin) == nullptr) {
            if (held_ + (end - begin) > most) {
                break;
            }
            Chunk& chunk = chunks_.emplace_back();
            chunk.self = std::prev(chunks_.end());
            chunk.owner = this;
            chunk.reader = &reader;
            chunk.begin = begin;
            chunk.end = end;
            chunk.buffer = buffers_.take(end - begin);
            held_ += end - begin;
            if (!chunk.buffer) {
                return drop(chunk);
            }
            chunk.request.offset = begin;
            chunk.request.length = static_cast<std::uint32_t>(end - begin);
            chunk.request.data = chunk.buffer.data();
            chunk.request.awaited = false;
            chunk.request.context = &chunk;
            chunk.request.done = [](IoRequest& request, int error) {
                Chunk& finished = *static_cast<Chunk*>(request.context);
                finished.owner->done(finished, error);
            };
            drive_.submit(chunk.request);
        }
        reader.ahead = end;
    }
    forget_when_idle();
}

void ReadAhead::done(Chunk& chunk, int error) {
    chunk.ready = true;
    const std::vector<IoRequest*> waiting = std::exchange(chunk.waiting, {});
    if (error != 0) {
        readers_ = {};  // they begin anew
    }
    if (error != 0 || chunk.stale) {
        drop(chunk);
    }
    for (IoRequest* const request : waiting) {
        if (!serve(*request)) {
            drive_.submit(*request);
        }
    }
}

void ReadAhead::drop(Chunk& chunk) {
    held_ -= chunk.end - chunk.begin;
    chunks_.erase(chunk.self);
}

template <class Condition>
void ReadAhead::drop_if(Condition goes) {
    for (auto chunk = chunks_.begin(); chunk != chunks_.end();) {
        Chunk& one = *chunk++;
        if (goes(one)) {
            one.stale = true;
            if (one.ready) {
                drop(one);
            }
        }
    }
}

void ReadAhead::forget(std::uint64_t offset, std::uint64_t length) {
    drop_if([&](const Chunk& chunk) { return chunk.begin < offset + length && offset < chunk.end; });
}

void ReadAhead::forget_when_idle() {
    if (idle_timer_ != 0 || chunks_.empty()) {
        return;
    }
    turns_seen_ = turns_;
    idle_timer_ = loop_.call_after(idle_time, [this] {
        idle_timer_ = 0;
        if (turns_ == turns_seen_) {
            drop_if([](const Chunk&) { return true; });
            readers_ = {};
            buffers_.release(0);
        }
        forget_when_idle();
    });
}

}  // namespace drivebay
