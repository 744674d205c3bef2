#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

// Up to here a write is copied into a buffer of its own; above, it keeps the whole buffer that it was received in.
constexpr std::size_t copy_limit = 16 * 1024;
constexpr std::uint64_t zeroes_at_once = 64 << 20;

// One read, write, fsync or fallocate under way: the request, its memory and its hold on the view.
struct FuseIo {
    FuseIo(const FuseCall& the_call, std::shared_ptr<View> the_view, std::uint64_t the_node)
        : call(the_call), view(std::move(the_view)), node(the_node) {}

    FuseCall call;
    std::shared_ptr<View> view;
    std::uint64_t node;
    AlignedBuffer buffer;
    IoRequest request;
    std::uint64_t zeroes_left = 0;  // fallocate: of what is still to be sent
};

void finish(FuseIo& io, int error) {
    if (error != 0) {
        return io.call.error(error);
    }
    switch (io.request.operation) {
        case IoOperation::read: return io.call.data(std::span(io.request.data, io.request.length));
        case IoOperation::write:
            if (FuseNode* const node = io.call.front().tree.find(io.node)) {
                std::timespec_get(&node->changed, TIME_UTC);
            }
            return io.call.written(io.request.length);
        case IoOperation::flush:
        case IoOperation::write_zeroes:
        case IoOperation::trim: return io.call.error(0);
    }
}

void done(IoRequest& request, int error) {
    const std::unique_ptr<FuseIo> io(static_cast<FuseIo*>(request.context));
    finish(*io, error);
}

// From here on the request owns itself, until done().
void submit(std::unique_ptr<FuseIo> io) {
    io->request.done = io->request.done == nullptr ? done : io->request.done;
    io->request.context = io.get();
    View& view = *io->view;
    view.submit(io.release()->request);
}

const FuseHandle* handle_of(const FuseCall& call, const fuse_file_info* info) {
    const auto found = call.front().handles.find(info->fh);
    return found == call.front().handles.end() ? nullptr : &found->second;
}

void read_file(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
    const FuseCall call(request);
    const FuseHandle* const handle = handle_of(call, info);
    if (handle == nullptr) {
        return call.error(EBADF);
    }
    const std::uint64_t end = handle->view->info().geometry.size;
    const auto begin = static_cast<std::uint64_t>(offset);
    if (begin >= end && !handle->view->ended()) {
        return call.data({});
    }
    auto io = std::make_unique<FuseIo>(call, handle->view, handle->node);
    io->request.operation = IoOperation::read;
    io->request.offset = begin;
    io->request.length = static_cast<std::uint32_t>(begin < end ? std::min<std::uint64_t>(size, end - begin) : 0);
    io->buffer = call.front().buffers.take(io->request.length);
    io->request.data = io->buffer.data();
    if (!io->buffer && io->request.length > 0) {
        return call.error(ENOMEM);
    }
    submit(std::move(io));
}

void write_file(fuse_req_t request, fuse_ino_t, const char* data, std::size_t size, off_t offset,
                fuse_file_info* info) {
    const FuseCall call(request);
    const FuseHandle* const handle = handle_of(call, info);
    if (handle == nullptr || !handle->writable) {
        return call.error(EBADF);
    }
    const std::uint64_t end = handle->view->info().geometry.size;
    const auto begin = static_cast<std::uint64_t>(offset);
    if (begin >= end && size > 0) {
        return call.error(ENOSPC);
    }
    auto io = std::make_unique<FuseIo>(call, handle->view, handle->node);
    io->request.operation = IoOperation::write;
    io->request.fua = (info->flags & (O_SYNC | O_DSYNC)) != 0;
    io->request.offset = begin;
    io->request.length = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, end - begin));
    if (size > copy_limit) {
        io->buffer = std::move(call.front().received);
        io->request.data = reinterpret_cast<std::byte*>(const_cast<char*>(data));
    } else {
        io->buffer = call.front().buffers.take(size);
        if (!io->buffer && size > 0) {
            return call.error(ENOMEM);
        }
        std::memcpy(io->buffer.data(), data, io->request.length);
        io->request.data = io->buffer.data();
    }
    submit(std::move(io));
}

void sync_file(fuse_req_t request, fuse_ino_t, int, fuse_file_info* info) {
    const FuseCall call(request);
    const FuseHandle* const handle = handle_of(call, info);
    if (handle == nullptr) {
        return call.error(EBADF);
    }
    if (handle->view->info().admission.mode == Mode::read) {
        return call.error(0);  // nothing of it can be unwritten
    }
    auto io = std::make_unique<FuseIo>(call, handle->view, handle->node);
    io->request.operation = IoOperation::flush;
    submit(std::move(io));
}

// A long range goes out piece by piece, so that it does not stand in the way of every other request.
void next_zeroes(IoRequest& request, int error) {
    std::unique_ptr<FuseIo> io(static_cast<FuseIo*>(request.context));
    if (error != 0 || io->zeroes_left == 0) {
        return finish(*io, error);
    }
    io->request.offset += io->request.length;
    io->request.length = static_cast<std::uint32_t>(std::min(io->zeroes_left, zeroes_at_once));
    io->zeroes_left -= io->request.length;
    submit(std::move(io));
}

void allocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* info) {
    const FuseCall call(request);
    const FuseHandle* const handle = handle_of(call, info);
    if (handle == nullptr || !handle->writable) {
        return call.error(EBADF);
    }
    const bool hole = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    const bool zero = mode == FALLOC_FL_ZERO_RANGE || mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    const std::uint64_t size = handle->view->info().geometry.size;
    const auto begin = static_cast<std::uint64_t>(offset);
    const auto end = begin + static_cast<std::uint64_t>(length);
    if ((!hole && !zero) || (end > size && mode == FALLOC_FL_ZERO_RANGE)) {
        return call.error(EOPNOTSUPP);
    }
    if (begin >= size) {
        return call.error(0);
    }
    auto io = std::make_unique<FuseIo>(call, handle->view, handle->node);
    io->request.operation = IoOperation::write_zeroes;
    io->request.may_trim = hole;
    io->request.offset = begin;
    io->request.done = next_zeroes;
    io->zeroes_left = std::min(end, size) - begin;
    io->request.length = static_cast<std::uint32_t>(std::min(io->zeroes_left, zeroes_at_once));
    io->zeroes_left -= io->request.length;
    submit(std::move(io));
}

}  // namespace

void fuse_read_write_operations(fuse_lowlevel_ops& operations) {
    operations.read = read_file;
    operations.write = write_file;
    operations.fsync = sync_file;
    operations.fallocate = allocate;
}

}  // namespace drivebay
