#include "fusefs/fuse_front/fuse_range.h"

#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>

namespace drivebay {

FuseRange clipped_range(std::uint64_t offset, std::uint64_t length, std::uint64_t end) {
    const std::uint64_t begin = std::min(offset, end);
    return {begin, std::min(length, end - begin)};
}

FuseZeroing judge_fallocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length, std::uint64_t end) {
    if (length == 0) {
        return {EINVAL, {}, false};
    }
    const bool hole = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    const bool zero = mode == FALLOC_FL_ZERO_RANGE || mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    const bool grows = offset > end || length > end - offset;
    if ((!hole && !zero) || (grows && mode == FALLOC_FL_ZERO_RANGE)) {
        return {EOPNOTSUPP, {}, false};
    }
    return {0, clipped_range(offset, length, end), hole};
}

std::optional<std::uint64_t> seek_among(const std::vector<Extent>& extents, std::uint64_t offset, bool data) {
    for (const Extent& extent : extents) {
        if (extent.zero != data) {
            return offset;
        }
        offset += extent.length;
    }
    return std::nullopt;
}

}  // namespace drivebay
