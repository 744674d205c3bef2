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

BufferPool::~BufferPool() {
    for (std::vector<std::byte*>& pieces : free_) {
        for (std::byte* piece : pieces) {
            std::free(piece);
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
    if (index < classes && kept_ + capacity <= kept_limit_) {
        free_[index].push_back(data);
        kept_ += capacity;
    } else {
        std::free(data);
    }
}

}  // namespace drivebay
