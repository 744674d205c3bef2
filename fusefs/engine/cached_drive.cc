#include "fusefs/engine/cached_drive.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace drivebay {

namespace {

constexpr std::uint64_t page = 4096;
// Below, copying the bytes twice is cheaper than looking whether they are there and splicing them.
constexpr std::uint32_t least_lent = 32 * 1024;

}  // namespace

CachedDrive::CachedDrive(AioResources resources, OpenedFile file) : LocalDrive(resources, std::move(file)) {
    // What is lent is sent later: only what nobody changes can be.
    if (!geometry_.read_only || file_.is_block_device) {
        return;
    }
    UniqueFd own(open(("/proc/self/fd/" + std::to_string(file_.fd)).c_str(), O_RDONLY | O_CLOEXEC));
    void* const mapped = own ? mmap(nullptr, geometry_.size, PROT_READ, MAP_SHARED, own.get(), 0) : MAP_FAILED;
    if (mapped != MAP_FAILED) {
        mapped_ = mapped;
        lent_ = std::make_shared<const UniqueFd>(std::move(own));
    }
}

CachedDrive::~CachedDrive() {
    if (mapped_ != nullptr) {
        munmap(mapped_, geometry_.size);
    }
}

void CachedDrive::start(IoRequest& request) {
    switch (request.operation) {
        case IoOperation::read:
            if (lend(request) || move_now(request)) {
                return answer_soon(request);
            }
            return finish_on_worker(request);
        case IoOperation::write:
            if (move_now(request)) {
                return answer_soon(request);
            }
            return request.fua ? finish_on_worker(request) : write_soon(request);
        default: return finish_on_worker(request);
    }
}

bool CachedDrive::would_lend(const IoRequest& request) {
    return request.may_lend && lent_ && request.length >= least_lent && is_resident(request.offset, request.length);
}

bool CachedDrive::lend(IoRequest& request) {
    if (!would_lend(request)) {
        return false;
    }
    request.lent = lent_;
    return true;
}

bool CachedDrive::is_resident(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t begin = offset / page * page;
    pages_.resize((offset + length - begin + page - 1) / page);
    return mincore(static_cast<std::byte*>(mapped_) + begin, offset + length - begin, pages_.data()) == 0 &&
           std::all_of(pages_.begin(), pages_.end(), [](unsigned char state) { return (state & 1) != 0; });
}

// Without waiting, or not at all.
bool CachedDrive::move_now(IoRequest& request) {
    const bool write = request.operation == IoOperation::write;
    bool& possible = write ? can_write_now_ : can_read_now_;
    if (!possible || (write && request.fua)) {
        return false;
    }
    const iovec memory{request.data, request.length};
    const auto offset = static_cast<off_t>(request.offset);
    const ssize_t moved = write ? pwritev2(file_.fd, &memory, 1, offset, RWF_NOWAIT)
                                : preadv2(file_.fd, &memory, 1, offset, RWF_NOWAIT);
    possible = moved >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL);
    return moved == static_cast<ssize_t>(request.length);
}

// All of a round together: they were done inside submit(), which never completes anything by itself.
void CachedDrive::answer_soon(IoRequest& request) {
    answers_.push_back(&request);
    if (answers_.size() > 1) {
        return;
    }
    resources_.loop.at_round_end([this] {
        for (IoRequest* const answered : std::exchange(answers_, {})) {
            finish(*answered, 0);
        }
    });
}

// All of a round to one thread: writes of a file take turns in the kernel anyway, and waking a thread costs more than one.
void CachedDrive::write_soon(IoRequest& request) {
    writes_.push_back(&request);
    if (writes_.size() > 1) {
        return;
    }
    resources_.loop.at_round_end([this] {
        io_workers_.compute(
            [this, writes = std::exchange(writes_, {})] {
                std::vector<std::pair<IoRequest*, int>> outcomes;
                for (IoRequest* const write : writes) {
                    outcomes.emplace_back(write, perform(*write));
                }
                return outcomes;
            },
            [this](const std::vector<std::pair<IoRequest*, int>>& outcomes) {
                for (const auto& [write, error] : outcomes) {
                    judge(*write, error);
                    finish(*write, error);
                }
            });
    });
}

}  // namespace drivebay
