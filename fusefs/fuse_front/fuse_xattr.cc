#include <fmt/format.h>

#include <cerrno>
#include <optional>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

constexpr std::string_view prefix = "user.drivebay.";

// What a mode bit cannot say: whose lease this file is.
std::optional<std::string> lease_attribute(const FuseNode& node, std::string_view name) {
    if (node.kind != FuseNode::Kind::file || !name.starts_with(prefix)) {
        return std::nullopt;
    }
    name.remove_prefix(prefix.size());
    const Admission& admission = node.info.admission;
    if (name == "drive") {
        return admission.drive;
    }
    if (name == "blade") {
        return admission.blade;
    }
    if (name == "mode") {
        return std::string(to_string(admission.mode));
    }
    if (name == "epoch") {
        return fmt::format("{}", admission.epoch);
    }
    if (name == "kind") {
        return std::string(to_string(node.info.kind));
    }
    return std::nullopt;
}

// A look-up precedes every use of a path, so what the node holds is as fresh as the path.
void get(fuse_req_t request, fuse_ino_t number, const char* name, std::size_t room) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    const std::optional<std::string> value = node == nullptr ? std::nullopt : lease_attribute(*node, name);
    if (!value) {
        return call.error(node == nullptr ? ESTALE : ENODATA);
    }
    call.extended_attribute(*value, room);
}

void list(fuse_req_t request, fuse_ino_t number, std::size_t room) {
    const FuseCall call(request);
    const FuseNode* const node = call.front().tree.find(number);
    if (node == nullptr) {
        return call.error(ESTALE);
    }
    std::string names;
    if (node->kind == FuseNode::Kind::file) {
        for (const std::string_view name : {"drive", "blade", "mode", "epoch", "kind"}) {
            names += fmt::format("{}{}", prefix, name) + '\0';
        }
    }
    call.extended_attribute(names, room);
}

void set(fuse_req_t request, fuse_ino_t, const char*, const char*, std::size_t, int) {
    FuseCall(request).error(EPERM);
}
void remove(fuse_req_t request, fuse_ino_t, const char*) {
    FuseCall(request).error(EPERM);
}

}  // namespace

void fuse_xattr_operations(fuse_lowlevel_ops& operations) {
    operations.getxattr = get;
    operations.listxattr = list;
    operations.setxattr = set;
    operations.removexattr = remove;
}

}  // namespace drivebay
