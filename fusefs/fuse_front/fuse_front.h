// What the operations that libfuse decodes share. Loop thread only.
#pragma once

#include "fusefs/fuse_front/fuse_api.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "fusefs/engine/view.h"
#include "fusefs/fuse_front/fuse_handles.h"
#include "fusefs/fuse_front/fuse_tree.h"
#include "fusefs/loop/event_loop.h"

namespace drivebay {

// An open folder: its entries as they were at opendir, so that readdir's offsets stay true.
struct FuseListing {
    struct Entry {
        std::string name;
        bool folder = false;
    };
    std::vector<Entry> entries;
};

struct FuseFront {
    FuseFront(Catalogue& the_catalogue, FuseTree::Layout layout, KeptLayout& kept)
        : catalogue(the_catalogue), tree(layout, kept), handles(kept) {}

    Catalogue& catalogue;
    FuseTree tree;
    bool parallel_direct_writes = false;  // the kernel knows FOPEN_PARALLEL_DIRECT_WRITES
    FuseHandles handles;
    std::unordered_map<std::uint64_t, FuseListing> listings;
    std::uint64_t last_listing = 0;
    std::uint64_t unanswered = 0;
    std::uint64_t serving = 0;  // the kernel's number of the request that libfuse decodes now
    std::function<ssize_t(const iovec* parts, int count)> send_answer;  // as writev(2)
    std::function<void()> on_init;
    std::function<void()> on_all_answered;  // set by a session that ends
};

// One request of the kernel, to be answered exactly once, now or later. After a session has begun to end the answers go
// nowhere, and are still due: the session waits for them before it is destroyed.
class FuseCall {
public:
    explicit FuseCall(fuse_req_t request);

    FuseFront& front() const { return *front_; }

    void error(int code) const;  // 0: done, with nothing to say
    void attributes(const FuseNode& node) const;
    void entry(FuseNode& node) const;
    void data(std::span<const std::byte> bytes) const;
    void position(std::uint64_t offset) const;  // of lseek
    void extended_attribute(const std::string& value, std::size_t room) const;
    void statistics() const;
    // The handle is taken back if the kernel no longer wants it.
    void opened_file(std::uint64_t handle) const;
    void opened_folder(const fuse_file_info& info, std::uint64_t listing) const;

private:
    void answered() const;

    fuse_req_t request_;
    FuseFront* front_;
};

// stat(2) of a node, as last heard.
struct stat fuse_attributes(const FuseNode& node);

// A view that was looked up and is gone: ESTALE makes the kernel look the name up anew (fs/namei.c, path_openat's
// callers) instead of failing with what an old name meant.
inline int stale_if_gone(int code) {
    return code == ENOENT ? ESTALE : code;
}

// The operations, a file a group.
void fuse_lookup_operations(fuse_lowlevel_ops& operations);
void fuse_attribute_operations(fuse_lowlevel_ops& operations);
void fuse_xattr_operations(fuse_lowlevel_ops& operations);
void fuse_open_operations(fuse_lowlevel_ops& operations);
void fuse_seek_operations(fuse_lowlevel_ops& operations);
void fuse_directory_operations(fuse_lowlevel_ops& operations);

// Fills `listings` under that number with the folder's entries as they are now; calls back with 0 or an errno.
void fuse_list_folder(FuseFront& front, std::uint64_t node, std::uint64_t listing, std::function<void(int error)> listed);

// Closes the handle, as the kernel's RELEASE does.
void fuse_drop_handle(FuseFront& front, std::uint64_t handle);

}  // namespace drivebay
