#include "fusefs/engine/local_drive.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

// Of one drive, begun as they are needed.
constexpr std::size_t io_threads = 8;

}  // namespace

LocalDrive::LocalDrive(AioResources resources, OpenedFile file)
    : resources_(resources),
      path_(std::move(file.path)),
      geometry_(file.geometry),
      fd_(std::move(file.fd)),
      io_workers_(resources.loop, "drive-io", io_threads) {
    file_.fd = fd_.get();
    file_.is_block_device = file.is_block_device;
    file_.direct = file.direct;
    file_.alignment = file.alignment;
}

LocalDrive::~LocalDrive() = default;

void LocalDrive::submit(IoRequest& request) {
    const bool changes = changes_drive(request.operation);
    if (closed_) {
        return refuse(request, ESHUTDOWN);
    }
    if (changes && geometry_.read_only) {
        return refuse(request, EROFS);
    }
    if (!failure_.empty() && (changes || request.operation == IoOperation::flush)) {
        return refuse(request, EIO);
    }
    if (request.operation != IoOperation::flush) {
        if (request.offset > geometry_.size || request.length > geometry_.size - request.offset) {
            return refuse(request, EINVAL);
        }
        if (request.length == 0) {
            return refuse(request, 0);
        }
    }
    ++in_flight_;
    start(request);
}

void LocalDrive::refuse(IoRequest& request, int error) {
    ++in_flight_;
    resources_.loop.at_round_end([this, &request, error] { finish(request, error); });
}

void LocalDrive::finish(IoRequest& request, int error) {
    --in_flight_;
    request.done(request, error);
    close_if_idle();
}

void LocalDrive::finish_on_worker(IoRequest& request) {
    io_workers_.compute([this, &request] { return perform(request); },
                        [this, &request](int error) {
                            judge(request, error);
                            finish(request, error);
                        });
}

int LocalDrive::perform(const IoRequest& request) {
    switch (request.operation) {
        case IoOperation::read: return read_fully(file_.fd, request.data, request.length, request.offset);
        case IoOperation::write: return write_fully(file_.fd, request.data, request.length, request.offset, request.fua);
        case IoOperation::flush: return fdatasync(file_.fd) == 0 ? 0 : errno;
        case IoOperation::write_zeroes:
            return zero_range(file_, request.offset, request.length, request.may_trim, request.fua);
        case IoOperation::cache: return cache_range(file_, request.offset, request.length);
        case IoOperation::block_status: return list_extents(file_, request.offset, request.length, *request.extents);
        case IoOperation::trim: {
            const int error = trim_range(file_, request.offset, request.length);
            return error == 0 && request.fua && fdatasync(file_.fd) != 0 ? errno : error;
        }
    }
    return EINVAL;
}

void LocalDrive::judge(const IoRequest& request, int error) {
    // A read may bear FUA, too: it was not to be made durable.
    const bool durable = request.fua && changes_drive(request.operation);
    const bool flush_failed = request.operation == IoOperation::flush ? error != 0 : durable && error == EIO;
    if (flush_failed && failure_.empty()) {
        failure_ = system_error(error, "a flush of " + log::quoted(path_) + " failed, so what was written since the one " +
                                           "before may be lost; the drive takes no more writes until it is refreshed")
                       .message;
        log::error("flush failed", {{"source", path_}, {"error", error}});
    }
}

void LocalDrive::close(std::function<void()> closed) {
    closed_ = std::move(closed);
    // Not from inside the call: what close() interrupted may still stand on this drive.
    resources_.loop.at_round_end([this] {
        close_due_ = true;
        close_if_idle();
    });
}

void LocalDrive::close_if_idle() {
    if (!close_due_ || in_flight_ > 0 || !fd_) {
        return;
    }
    // The last close of a block device waits for its page cache, the lock of a file goes only with it.
    const int fd = fd_.release();
    resources_.workers.run([fd] { ::close(fd); }, [closed = std::move(closed_)] { closed(); });
    closed_ = [] {};
}

}  // namespace drivebay
