#include <fcntl.h>

#include <cerrno>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

void open_file(fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    if (node == nullptr) {
        return call.error(ESTALE);
    }
    const std::uint64_t unique = call.front().serving;
    if (const std::uint64_t opened = call.front().handles.opened_by(unique); opened != 0) {
        return call.opened_file(opened);  // its server died before it could say so
    }
    const bool writable = (info->flags & O_ACCMODE) != O_RDONLY;
    if (writable && node->info.admission.mode == Mode::read && !node->name.drive.empty() && node->name.epoch != 0) {
        return call.error(EROFS);
    }
    call.front().catalogue.open(node->blade, node->name, writable ? Mode::write : Mode::read,
                                [call, number, writable, unique](Result<std::shared_ptr<View>> view) {
                                    FuseFront& front = call.front();
                                    FuseNode* const found = front.tree.find(number);
                                    if (!view || found == nullptr) {
                                        return call.error(stale_if_gone(view ? ENOENT : view.error().code));
                                    }
                                    found->info = (*view)->info();
                                    front.tree.opened(*found);
                                    FuseHandle handle;
                                    handle.view = std::move(*view);
                                    handle.changed = found->changed;
                                    handle.node = number;
                                    handle.writable = writable;
                                    call.opened_file(front.handles.add(std::move(handle), unique));
                                });
}

// Writes that were answered early name the handle until they are on the drive.
void release_file(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    const auto drop = [call, number = info->fh] {
        fuse_drop_handle(call.front(), number);
        call.error(0);
    };
    FuseHandle* const handle = call.front().handles.find(info->fh);
    if (handle == nullptr || handle->unsent == 0) {
        return drop();
    }
    handle->all_sent = drop;
}

}  // namespace

void fuse_drop_handle(FuseFront& front, std::uint64_t handle) {
    if (const std::optional<FuseHandle> dropped = front.handles.take(handle)) {
        front.tree.closed(dropped->node);
    }
}

void fuse_open_operations(fuse_lowlevel_ops& operations) {
    operations.open = open_file;
    operations.release = release_file;
}

}  // namespace drivebay
