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
    const bool writable = (info->flags & O_ACCMODE) != O_RDONLY;
    if (writable && node->info.admission.mode == Mode::read && !node->name.drive.empty() && node->name.epoch != 0) {
        return call.error(EROFS);
    }
    call.front().catalogue.open(node->blade, node->name, writable ? Mode::write : Mode::read,
                                [call, number, writable](Result<std::shared_ptr<View>> view) {
                                    FuseFront& front = call.front();
                                    FuseNode* const found = front.tree.find(number);
                                    if (!view || found == nullptr) {
                                        return call.error(stale_if_gone(view ? ENOENT : view.error().code));
                                    }
                                    found->info = (*view)->info();
                                    front.tree.opened(*found);
                                    call.opened_file(front.handles.add(
                                        {std::move(*view), found->changed, number, writable}));
                                });
}

void release_file(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    fuse_drop_handle(call.front(), info->fh);
    call.error(0);
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
