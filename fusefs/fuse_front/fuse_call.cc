#include <linux/fuse.h>

#include <array>
#include <cerrno>
#include <utility>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

struct stat fuse_attributes(const FuseNode& node) {
    struct stat attributes {};
    attributes.st_ino = node.number;
    const std::int64_t changed = *node.changed;
    attributes.st_mtim = attributes.st_atim = attributes.st_ctim = {changed / 1'000'000'000, changed % 1'000'000'000};
    if (node.kind == FuseNode::Kind::file) {
        attributes.st_mode = S_IFREG | (node.info.admission.mode == Mode::write ? 0644 : 0444);
        attributes.st_nlink = 1;
        attributes.st_size = static_cast<off_t>(node.info.geometry.size);
        attributes.st_blocks = static_cast<blkcnt_t>(node.info.geometry.size / 512);
        attributes.st_blksize = node.info.geometry.block_size > 4096 ? node.info.geometry.block_size : 4096;
    } else {
        attributes.st_mode = S_IFDIR | 0755;
        attributes.st_nlink = 2;
    }
    return attributes;
}

namespace {

// How long the kernel may go by what it was told, in seconds. What can change, it asks for each time: an answer costs some
// 15 microseconds, an old one could cost a drive.
double kept_for(const FuseTree& tree, const FuseNode& node) { return tree.is_fixed(node) ? 86400 : 0; }

}  // namespace

FuseCall::FuseCall(fuse_req_t request)
    : request_(request), front_(static_cast<FuseFront*>(fuse_req_userdata(request))) {
    ++front_->unanswered;
}

void FuseCall::answered() const {
    if (--front_->unanswered == 0 && front_->on_all_answered) {
        std::exchange(front_->on_all_answered, {})();
    }
}

void FuseCall::error(int code) const {
    fuse_reply_err(request_, code);
    answered();
}

void FuseCall::attributes(const FuseNode& node) const {
    const struct stat attributes = fuse_attributes(node);
    fuse_reply_attr(request_, &attributes, kept_for(front_->tree, node));
    answered();
}

void FuseCall::entry(FuseNode& node) const {
    fuse_entry_param entry{};
    entry.ino = node.number;
    entry.attr = fuse_attributes(node);
    entry.attr_timeout = entry.entry_timeout = kept_for(front_->tree, node);
    const std::uint64_t number = node.number;
    front_->tree.looked_up(node);
    // A lookup that the kernel no longer wants is never forgotten by it either.
    if (fuse_reply_entry(request_, &entry) != 0) {
        front_->tree.forget(number, 1);
    }
    answered();
}

void FuseCall::data(std::span<const std::byte> bytes) const {
    fuse_reply_buf(request_, reinterpret_cast<const char*>(bytes.data()), bytes.size());
    answered();
}

void FuseCall::position(std::uint64_t offset) const {
    fuse_reply_lseek(request_, static_cast<off_t>(offset));
    answered();
}

void FuseCall::extended_attribute(const std::string& value, std::size_t room) const {
    if (room == 0) {
        fuse_reply_xattr(request_, value.size());
    } else if (room < value.size()) {
        fuse_reply_err(request_, ERANGE);
    } else {
        fuse_reply_buf(request_, value.data(), value.size());
    }
    answered();
}

void FuseCall::statistics() const {
    struct statvfs statistics {};
    statistics.f_bsize = statistics.f_frsize = 4096;
    statistics.f_namemax = 255;
    fuse_reply_statfs(request_, &statistics);
    answered();
}

// libfuse 3.14's fuse_file_info has no field for FOPEN_PARALLEL_DIRECT_WRITES, so the reply is built here
// (include/uapi/linux/fuse.h, struct fuse_open_out).
void FuseCall::opened_file(std::uint64_t handle) const {
    fuse_open_out reply{};
    reply.fh = handle;
    reply.open_flags = FOPEN_DIRECT_IO;
    if (front_->parallel_direct_writes) {
        reply.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
    }
    const std::array<iovec, 1> parts = {iovec{&reply, sizeof reply}};
    if (fuse_reply_iov(request_, parts.data(), parts.size()) != 0) {
        fuse_drop_handle(*front_, handle);
    }
    answered();
}

void FuseCall::opened_folder(const fuse_file_info& info, std::uint64_t listing) const {
    fuse_file_info reply = info;
    reply.fh = listing;
    reply.cache_readdir = 0;
    if (fuse_reply_open(request_, &reply) != 0) {
        front_->listings.erase(listing);
    }
    answered();
}

}  // namespace drivebay
