#include "fusefs/engine/aligned_buffer.h"

#include <bit>
#include <cstdlib>

namespace drivebay {

namespace {

constexpr std::size_t page = 4096;

std::size_t class_of(std::size_t capacity) { return static_cast<std::size_t>(std::countr_zero(capacity / page)); }

}  // namespace

void AlignedBuffer::reset() {
    if (data_ != nullptr) {
        pool_->give_back(std::exchange(data_, nullptr), std::exchange(capacity_, 0));
    }
}

BufferPool::~BufferPool() { release(0); }

void BufferPool::release(std::size_t kept) {
    for (std::vector<std::byte*>& pieces : free_) {
        const std::size_t capacity = page << (&pieces - free_.data());
        while (kept_ > kept && !pieces.empty()) {
            std::free(pieces.back());
            pieces.pop_back();
            kept_ -= capacity;
        }
    }
}

AlignedBuffer BufferPool::take(std::size_t size) {
    const std::size_t capacity = std::bit_ceil(size < page ? page : size);
    AlignedBuffer buffer;
    buffer.pool_ = this;
    if (const std::size_t index = class_of(capacity); index < classes && !free_[index].empty()) {
        buffer.data_ = free_[index].back();
        free_[index].pop_back();
        kept_ -= capacity;
    } else {
        buffer.data_ = static_cast<std::byte*>(std::aligned_alloc(page, capacity));
    }
    buffer.capacity_ = buffer.data_ == nullptr ? 0 : capacity;
    return buffer;
}

void BufferPool::give_back(std::byte* data, std::size_t capacity) {
    const std::size_t index = class_of(capacity);
    if (index >= classes || capacity > kept_limit_) {
        return std::free(data);
    }
    // What was in use last is the likeliest to be asked for again; what was kept before may be of a size that nobody asks for.
    release(kept_limit_ - capacity);
    free_[index].push_back(data);
    kept_ += capacity;
}

}  // namespace drivebay
