#include <algorithm>
#include <cerrno>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

void look_up_blade(const FuseCall& call, const std::string& name) {
    call.front().catalogue.list_blades([call, name](const std::vector<std::string>& blades) {
        if (std::find(blades.begin(), blades.end(), name) == blades.end()) {
            return call.error(ENOENT);
        }
        call.entry(call.front().tree.folder(name));
    });
}

void look_up_drive(const FuseCall& call, const FuseNode& parent, const std::string& name) {
    const std::optional<DriveReference> reference = parse_drive_reference(name);
    if (!reference || reference->instance != 0) {
        return call.error(ENOENT);
    }
    call.front().catalogue.look_up(parent.blade, *reference,
                                   [call, folder = parent.number, asked = *reference](Result<ViewInfo> info) {
                                       FuseTree& tree = call.front().tree;
                                       const FuseNode* const node = tree.find(folder);
                                       if (!info || node == nullptr) {
                                           return call.error(info ? ENOENT : info.error().code);
                                       }
                                       call.entry(tree.file(*node, asked, *info));
                                   });
}

void look_up(fuse_req_t request, fuse_ino_t parent, const char* name) {
    const FuseCall call(request);
    FuseTree& tree = call.front().tree;
    const FuseNode* const node = tree.find(parent);
    if (node == nullptr || node->kind == FuseNode::Kind::file) {
        return call.error(node == nullptr ? ENOENT : ENOTDIR);
    }
    if (parent == FuseTree::root && tree.layout() == FuseTree::Layout::management) {
        const std::string_view text = name;
        const std::uint64_t folder = text == "blades"   ? FuseTree::blades_folder
                                     : text == "drives" ? FuseTree::drives_folder
                                                        : 0;
        return folder == 0 ? call.error(ENOENT) : call.entry(*tree.find(folder));
    }
    if (node->kind == FuseNode::Kind::blades) {
        return look_up_blade(call, name);
    }
    look_up_drive(call, *node, name);
}

// FORGET is answered by silence (include/uapi/linux/fuse.h), so no FuseCall.
void forget(fuse_req_t request, fuse_ino_t number, std::uint64_t count) {
    static_cast<FuseFront*>(fuse_req_userdata(request))->tree.forget(number, count);
    fuse_reply_none(request);
}

void forget_many(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
    FuseFront& front = *static_cast<FuseFront*>(fuse_req_userdata(request));
    for (const fuse_forget_data& item : std::span(forgets, count)) {
        front.tree.forget(item.ino, item.nlookup);
    }
    fuse_reply_none(request);
}

// The tree is the arbiter's to change: what a user may do about it is `drivebay present` and `drivebay withdraw`.
template <int code, class... Arguments>
void refuse(fuse_req_t request, Arguments...) {
    FuseCall(request).error(code);
}

}  // namespace

void fuse_lookup_operations(fuse_lowlevel_ops& operations) {
    operations.lookup = look_up;
    operations.forget = forget;
    operations.forget_multi = forget_many;
    operations.create = refuse<EROFS>;
    operations.mknod = refuse<EROFS>;
    operations.mkdir = refuse<EROFS>;
    operations.symlink = refuse<EROFS>;
    operations.link = refuse<EPERM>;
    operations.unlink = refuse<EPERM>;
    operations.rmdir = refuse<EPERM>;
    operations.rename = refuse<EPERM>;
}

}  // namespace drivebay
