#include <unistd.h>

#include <cerrno>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

// Nothing is kept of a file's attributes but while it is open: then its view stands, and asking for it again could only
// fail, on a blade whose link is cut.
void get_attributes(fuse_req_t request, fuse_ino_t number, fuse_file_info*) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    if (node == nullptr) {
        return call.error(ESTALE);
    }
    if (node->kind != FuseNode::Kind::file || node->handles > 0) {
        return call.attributes(*node);
    }
    call.front().catalogue.look_up(node->blade, node->name, [call, number](Result<ViewInfo> info) {
        FuseNode* const found = call.front().tree.find(number);
        if (!info || found == nullptr) {
            return call.error(stale_if_gone(info ? ENOENT : info.error().code));
        }
        found->info = *info;
        call.attributes(*found);
    });
}

// Size, owner, mode and times are the drive's and the arbiter's. Only a truncation to the size that is there changes
// nothing, and succeeds for the sake of tools that always do it.
void set_attributes(fuse_req_t request, fuse_ino_t number, struct stat* wanted, int what, fuse_file_info*) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    if (node == nullptr) {
        return call.error(ESTALE);
    }
    const bool size_only = (what & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME)) == 0;
    if (node->kind == FuseNode::Kind::file && (what & FUSE_SET_ATTR_SIZE) != 0 && size_only &&
        static_cast<std::uint64_t>(wanted->st_size) == node->info.geometry.size) {
        return call.attributes(*node);
    }
    call.error(EPERM);
}

void check_access(fuse_req_t request, fuse_ino_t number, int mask) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    if (node == nullptr) {
        return call.error(ESTALE);
    }
    if (node->kind == FuseNode::Kind::file && (mask & X_OK) != 0) {
        return call.error(EACCES);
    }
    const bool fixed = node->kind != FuseNode::Kind::file || node->info.admission.mode == Mode::read;
    call.error((mask & W_OK) != 0 && fixed ? EROFS : 0);
}

void get_statistics(fuse_req_t request, fuse_ino_t) {
    FuseCall(request).statistics();
}

}  // namespace

void fuse_attribute_operations(fuse_lowlevel_ops& operations) {
    operations.getattr = get_attributes;
    operations.setattr = set_attributes;
    operations.access = check_access;
    operations.statfs = get_statistics;
}

}  // namespace drivebay
