#include <fcntl.h>

#include <cerrno>
#include <functional>
#include <utility>

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

// Once the writes that were answered early, and that name the handle, are on the drive.
void when_all_sent(const FuseCall& call, std::uint64_t number, std::function<void()> callback) {
    FuseHandle* const handle = call.front().handles.find(number);
    if (handle == nullptr || handle->unsent == 0) {
        return callback();
    }
    handle->all_sent.push_back(std::move(callback));
}

// close(2), which a LUN does without: whoever looks at the drive afterwards finds what was written.
void flush_file(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    when_all_sent(call, info->fh, [call] { call.error(0); });
}

void release_file(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    when_all_sent(call, info->fh, [call, number = info->fh] {
        fuse_drop_handle(call.front(), number);
        call.error(0);
    });
}

}  // namespace

void fuse_drop_handle(FuseFront& front, std::uint64_t handle) {
    if (const std::optional<FuseHandle> dropped = front.handles.take(handle)) {
        front.tree.closed(dropped->node);
    }
}

void fuse_open_operations(fuse_lowlevel_ops& operations) {
    operations.open = open_file;
    operations.flush = flush_file;
    operations.release = release_file;
}

}  // namespace drivebay
