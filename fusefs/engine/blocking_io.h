// What a drive cannot have done by libaio, step by step on a worker's thread: page-cache I/O, zeroing and trimming.
// Every function returns 0 or an errno.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "fusefs/engine/drive.h"

namespace drivebay {

// An open file or block device. The flags remember, for all threads, what the file system turned out not to know.
struct BlockFile {
    int fd = -1;
    bool is_block_device = false;
    bool direct = false;           // opened O_DIRECT: offsets, lengths and memory in units of `alignment`
    std::uint32_t alignment = 512;
    std::atomic<bool> can_zero_range{true};
    std::atomic<bool> can_punch_hole{true};
};

// EIO if the file ends before `length` bytes were read.
int read_fully(int fd, std::byte* data, std::size_t length, std::uint64_t offset);
// `durable`: by RWF_DSYNC on the last piece.
int write_fully(int fd, const std::byte* data, std::size_t length, std::uint64_t offset, bool durable);

// Zeroes any range, by fallocate(2) where that is known, by writing elsewhere. `may_trim`: as a hole.
int zero_range(BlockFile& file, std::uint64_t offset, std::uint64_t length, bool may_trim, bool durable);
// Tells the storage that whole blocks of the range are not needed any more; success where it cannot be told.
int trim_range(BlockFile& file, std::uint64_t offset, std::uint64_t length);

// IoOperation::cache: begins to read the range into the page cache. Nothing where there is none.
int cache_range(const BlockFile& file, std::uint64_t offset, std::uint64_t length);
// IoOperation::block_status, of a range that is not empty: by SEEK_DATA and SEEK_HOLE; all data where those are unknown,
// as on block devices.
int list_extents(const BlockFile& file, std::uint64_t offset, std::uint64_t length, ExtentList& into);

}  // namespace drivebay
