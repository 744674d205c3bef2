// The arithmetic of what the kernel asks of a file whose size never changes: offsets and lengths come as they are in
// include/uapi/linux/fuse.h, and go on only when they lie within the drive. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fusefs/engine/drive.h"

namespace drivebay {

struct FuseRange {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    bool operator==(const FuseRange&) const = default;
};

// What of [offset, offset + length) lies before `end`; empty, at `end`, if nothing.
FuseRange clipped_range(std::uint64_t offset, std::uint64_t length, std::uint64_t end);

// What fallocate(2) comes to on a drive.
struct FuseZeroing {
    int error = 0;  // EOPNOTSUPP: it would grow the file, or is neither a hole nor zeroes; EINVAL: of nothing
    FuseRange range;
    bool may_trim = false;
};
FuseZeroing judge_fallocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length, std::uint64_t end);

// lseek(2) with SEEK_DATA (`data`) or SEEK_HOLE, among extents that follow each other from `offset` on: where it ends,
// or nothing if it has to go on behind them. Only what reads as zeroes is a hole.
std::optional<std::uint64_t> seek_among(const std::vector<Extent>& extents, std::uint64_t offset, bool data);

}  // namespace drivebay
