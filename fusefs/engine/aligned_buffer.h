// Page-aligned memory for O_DIRECT, kept for the next request instead of being given back and asked for again.
// Loop thread only.
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace drivebay {

class BufferPool;

// Sole owner of a piece of page-aligned memory; goes back to its pool, which must outlive it.
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    AlignedBuffer(AlignedBuffer&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
        if (this != &other) {
            reset();
            pool_ = std::exchange(other.pool_, nullptr);
            data_ = std::exchange(other.data_, nullptr);
            capacity_ = std::exchange(other.capacity_, 0);
        }
        return *this;
    }
    ~AlignedBuffer() { reset(); }

    std::byte* data() const { return data_; }
    std::size_t capacity() const { return capacity_; }
    explicit operator bool() const { return data_ != nullptr; }
    void reset();

private:
    friend class BufferPool;
    BufferPool* pool_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
};

class BufferPool {
public:
    // Keeps at most `kept_limit` bytes of unused memory.
    explicit BufferPool(std::size_t kept_limit = std::size_t{64} << 20) : kept_limit_(kept_limit) {}
    ~BufferPool();
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // At least `size` bytes, in whole pages; contents undefined. An empty buffer if there is no memory.
    AlignedBuffer take(std::size_t size);
    // Of the unused memory at most `kept` bytes stay; the smallest pieces go first.
    void release(std::size_t kept);
    std::size_t kept() const { return kept_; }  // bytes of unused memory

private:
    friend class AlignedBuffer;
    void give_back(std::byte* data, std::size_t capacity);

    // Free pieces of 4 KiB << index; the largest is what the largest NBD request needs with an unaligned edge.
    static constexpr std::size_t classes = 15;
    std::array<std::vector<std::byte*>, classes> free_;
    std::size_t kept_ = 0;
    const std::size_t kept_limit_;
};

}  // namespace drivebay
