// lseek(2) with SEEK_DATA and SEEK_HOLE; the kernel answers every other whence by itself (fs/fuse/file.c,
// fuse_file_llseek).
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "fusefs/fuse_front/fuse_front.h"
#include "fusefs/fuse_front/fuse_range.h"

namespace drivebay {

namespace {

// So much at a time; a multiple of every block size.
constexpr std::uint64_t asked_at_once = std::uint64_t{2} << 30;

struct FuseSeek {
    FuseSeek(const FuseCall& the_call, std::shared_ptr<View> the_view, bool for_data)
        : call(the_call), view(std::move(the_view)), data(for_data) {}

    FuseCall call;
    std::shared_ptr<View> view;
    const bool data;  // SEEK_DATA; else SEEK_HOLE
    ExtentList extents;
    IoRequest request;
};

void answered(IoRequest& request, int error);

// From here on the seek owns itself, until it is answered.
void ask(std::unique_ptr<FuseSeek> seek, std::uint64_t from) {
    const std::uint64_t end = seek->view->info().geometry.size;
    seek->extents.found.clear();
    seek->request.operation = IoOperation::block_status;
    seek->request.offset = from;
    seek->request.length = static_cast<std::uint32_t>(std::min(asked_at_once, end - from));
    seek->request.extents = &seek->extents;
    seek->request.context = seek.get();
    seek->request.done = answered;
    View& view = *seek->view;
    view.submit(seek.release()->request);
}

void answered(IoRequest& request, int error) {
    std::unique_ptr<FuseSeek> seek(static_cast<FuseSeek*>(request.context));
    if (error != 0) {
        return seek->call.error(error);
    }
    if (const auto place = seek_among(seek->extents.found, request.offset, seek->data)) {
        return seek->call.position(*place);
    }
    std::uint64_t behind = request.offset;
    for (const Extent& extent : seek->extents.found) {
        behind += extent.length;
    }
    const std::uint64_t end = seek->view->info().geometry.size;
    if (behind >= end) {
        // lseek(2): behind the last data there is a hole that begins at the file's end, and no data.
        return seek->data ? seek->call.error(ENXIO) : seek->call.position(end);
    }
    ask(std::move(seek), behind);
}

void seek_file(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
    const FuseCall call(request);
    const FuseHandle* const handle = call.front().handles.find(info->fh);
    if (handle == nullptr) {
        return call.error(EBADF);
    }
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return call.error(EINVAL);
    }
    // A negative offset lies behind every end.
    if (clipped_range(static_cast<std::uint64_t>(offset), 1, handle->view->info().geometry.size).length == 0) {
        return call.error(ENXIO);
    }
    ask(std::make_unique<FuseSeek>(call, handle->view, whence == SEEK_DATA), static_cast<std::uint64_t>(offset));
}

}  // namespace

void fuse_seek_operations(fuse_lowlevel_ops& operations) {
    operations.lseek = seek_file;
}

}  // namespace drivebay
