#include "fusefs/engine/blocking_io.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace drivebay {

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::size_t zero_piece = std::size_t{1} << 20;

struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;

Memory aligned_memory(std::size_t size) {
    return Memory(static_cast<std::byte*>(std::aligned_alloc(page, (size + page - 1) / page * page)));
}

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) { return value / unit * unit; }
std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

int fallocate_errno(int fd, int mode, std::uint64_t offset, std::uint64_t length) {
    while (fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

bool unknown_here(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV; }

// Zeroes within one block of an O_DIRECT file: read, change, write back.
int zero_inside_block(const BlockFile& file, std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t begin = round_down(offset, file.alignment);
    const Memory block = aligned_memory(file.alignment);
    if (!block) {
        return ENOMEM;
    }
    if (const int error = read_fully(file.fd, block.get(), file.alignment, begin); error != 0) {
        return error;
    }
    std::memset(block.get() + (offset - begin), 0, length);
    return write_fully(file.fd, block.get(), file.alignment, begin, false);
}

int write_zeroes(const BlockFile& file, std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t unit = file.direct ? file.alignment : 1;
    const std::uint64_t end = offset + length;
    const std::uint64_t body_begin = std::min(round_up(offset, unit), end);
    const std::uint64_t body_end = std::max(round_down(end, unit), body_begin);
    int error = 0;
    if (offset < body_begin) {
        error = zero_inside_block(file, offset, body_begin - offset);
    }
    const Memory zeroes = aligned_memory(zero_piece);
    if (!zeroes) {
        return ENOMEM;
    }
    std::memset(zeroes.get(), 0, zero_piece);
    for (std::uint64_t at = body_begin; error == 0 && at < body_end;) {
        const std::size_t piece = std::min<std::uint64_t>(body_end - at, zero_piece);
        error = write_fully(file.fd, zeroes.get(), piece, at, false);
        at += piece;
    }
    if (error == 0 && body_end < end) {
        error = zero_inside_block(file, body_end, end - body_end);
    }
    return error;
}

// EOPNOTSUPP: to be written instead.
int zero_by_fallocate(BlockFile& file, std::uint64_t offset, std::uint64_t length, bool may_trim) {
    if (may_trim && file.can_punch_hole) {
        const int error = fallocate_errno(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
        if (!unknown_here(error)) {
            return error;
        }
        file.can_punch_hole = false;
    }
    if (file.can_zero_range) {
        const int error = fallocate_errno(file.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
        if (!unknown_here(error)) {
            return error;
        }
        file.can_zero_range = false;
    }
    return EOPNOTSUPP;
}

}  // namespace

int read_fully(int fd, std::byte* data, std::size_t length, std::uint64_t offset) {
    while (length > 0) {
        const ssize_t got = pread(fd, data, length, static_cast<off_t>(offset));
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        if (got == 0) {
            return EIO;
        }
        data += got;
        offset += static_cast<std::uint64_t>(got);
        length -= static_cast<std::size_t>(got);
    }
    return 0;
}

int write_fully(int fd, const std::byte* data, std::size_t length, std::uint64_t offset, bool durable) {
    while (length > 0) {
        const iovec piece{const_cast<std::byte*>(data), length};
        const ssize_t put = pwritev2(fd, &piece, 1, static_cast<off_t>(offset), durable ? RWF_DSYNC : 0);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        if (put == 0) {
            return EIO;
        }
        data += put;
        offset += static_cast<std::uint64_t>(put);
        length -= static_cast<std::size_t>(put);
    }
    return 0;
}

int zero_range(BlockFile& file, std::uint64_t offset, std::uint64_t length, bool may_trim, bool durable) {
    // Whole pages only go through fallocate: parts of a page would be zeroed in the page cache, beside O_DIRECT.
    const std::uint64_t end = offset + length;
    const std::uint64_t unit = std::max<std::uint64_t>(page, file.alignment);
    const std::uint64_t begin = round_up(offset, unit);
    const std::uint64_t finish = round_down(end, unit);
    int error = EOPNOTSUPP;
    if (begin < finish) {
        error = zero_by_fallocate(file, begin, finish - begin, may_trim);
    }
    if (error == EOPNOTSUPP) {
        error = write_zeroes(file, offset, length);
    } else {
        if (error == 0 && offset < begin) {
            error = write_zeroes(file, offset, begin - offset);
        }
        if (error == 0 && finish < end) {
            error = write_zeroes(file, finish, end - finish);
        }
    }
    if (error == 0 && durable && fdatasync(file.fd) != 0) {
        error = errno;
    }
    return error;
}

int trim_range(BlockFile& file, std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t unit = std::max<std::uint64_t>(page, file.alignment);
    const std::uint64_t begin = round_up(offset, unit);
    const std::uint64_t end = round_down(offset + length, unit);
    if (begin >= end) {
        return 0;
    }
    int error = 0;
    if (file.is_block_device) {
        std::uint64_t range[2] = {begin, end - begin};
        error = ioctl(file.fd, BLKDISCARD, range) == 0 ? 0 : errno;
    } else {
        error = fallocate_errno(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, end - begin);
    }
    return unknown_here(error) ? 0 : error;
}

int cache_range(const BlockFile& file, std::uint64_t offset, std::uint64_t length) {
    if (!file.direct) {
        // Advice: no error of it is one of the request's.
        (void)posix_fadvise(file.fd, static_cast<off_t>(offset), static_cast<off_t>(std::min<std::uint64_t>(length, most_cached)),
                            POSIX_FADV_WILLNEED);
    }
    return 0;
}

int list_extents(const BlockFile& file, std::uint64_t offset, std::uint64_t length, ExtentList& into) {
    const std::uint64_t end = offset + length;
    const auto found = [&into, end](std::uint64_t from, std::uint64_t to, bool hole) {
        into.found.push_back({std::min(to, end) - from, hole, hole});
        return std::min(to, end);
    };
    // Of lseek(2) only the answer is used: the descriptor's position is every thread's.
    for (std::uint64_t at = offset; at < end && into.found.size() < into.limit;) {
        const off_t data = file.is_block_device ? static_cast<off_t>(at) : lseek(file.fd, static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            // No data behind `at`; or the file was cut under the drive, and what is missing does not read as zeroes.
            if (lseek(file.fd, 0, SEEK_END) < static_cast<off_t>(end)) {
                return EIO;
            }
            at = found(at, end, true);
            continue;
        }
        if (data < 0 && !unknown_here(errno)) {
            return errno;
        }
        if (data > static_cast<off_t>(at)) {
            at = found(at, static_cast<std::uint64_t>(data), true);
            continue;
        }
        const off_t hole =
            file.is_block_device || data < 0 ? -1 : lseek(file.fd, static_cast<off_t>(at), SEEK_HOLE);
        // Not known, or punched between the two questions: data may be said of anything.
        at = found(at, hole > static_cast<off_t>(at) ? static_cast<std::uint64_t>(hole) : end, false);
    }
    return 0;
}

}  // namespace drivebay
