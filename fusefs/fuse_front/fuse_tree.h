// The inodes the kernel knows: which number stands for which folder or view, and how often it was looked up. A number
// is never used again, so no generation is needed. A file's inode is one view (drive, epoch): another epoch of the
// drive is another inode, so that nothing the kernel keeps of the old one can meet the new one. The numbers are in kept
// memory, too: the kernel goes on using them after the process that gave them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>

#include "fusefs/engine/view.h"
#include "fusefs/fuse_front/fuse_handles.h"
#include "fusefs/keeper/kept_memory.h"
#include "fusefs/keeper/kept_table.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct FuseNode {
    enum class Kind { folder, blades, file };  // a folder of files; the folder of the blades' folders; a view

    std::uint64_t number = 0;
    Kind kind = Kind::folder;
    std::string blade;        // of a folder or a file; empty in Catalogue::Folder::drives
    DriveReference name;      // of a file: what Catalogue is asked for
    ViewInfo info;            // of a file: as last heard
    std::shared_ptr<FuseChanged> changed;  // never null; of a folder: when it was first seen
    std::uint64_t lookups = 0;
    std::uint64_t handles = 0;
    KeptNode* kept = nullptr;
};

class FuseTree {
public:
    enum class Layout {
        management,  // blades/<blade>/<drive>, drives/<drive>
        blade,       // <drive>
    };

    static constexpr std::uint64_t root = 1;  // FUSE_ROOT_ID, include/uapi/linux/fuse.h
    static constexpr std::uint64_t blades_folder = 2;
    static constexpr std::uint64_t drives_folder = 3;

    // With the nodes that a dead server left.
    FuseTree(Layout layout, KeptLayout& kept);

    Layout layout() const { return layout_; }
    // One of the management module's own three folders: it is always there, and nothing of it ever changes.
    bool is_fixed(const FuseNode& node) const { return layout_ == Layout::management && node.number <= drives_folder; }
    // nullptr: forgotten, or never known.
    FuseNode* find(std::uint64_t number);
    // The node of a blade's folder, made if need be.
    FuseNode& folder(const std::string& blade);
    // The node of a view in `parent`, made if need be, with what is now known of it. `asked` is the name that found it:
    // a plain name of the management module's drives/ stays without an epoch, since its lease is made by the open.
    FuseNode& file(const FuseNode& parent, const DriveReference& asked, const ViewInfo& info);

    // A reply bore the node to the kernel.
    void looked_up(FuseNode& node) {
        ++node.lookups;
        keep_lookups(node);
    }
    // The kernel gives back `count` lookups. The node lives on while it has handles.
    void forget(std::uint64_t number, std::uint64_t count);
    void opened(FuseNode& node) { ++node.handles; }
    void closed(std::uint64_t number);

    std::size_t size() const { return nodes_.size(); }

private:
    using FileKey = std::tuple<std::string, std::string, Epoch>;  // blade, drive, epoch

    FuseNode& make(FuseNode::Kind kind, const std::string& blade);
    void restore(KeptNode& record);
    static void keep(FuseNode& node);
    static void keep_lookups(const FuseNode& node);
    void drop_if_unused(std::uint64_t number);

    const Layout layout_;
    KeptLayout& kept_;
    KeptTable<KeptNode, &KeptNode::number> records_;
    std::unordered_map<std::uint64_t, FuseNode> nodes_;
    std::map<std::string, std::uint64_t> folders_;
    std::map<FileKey, std::uint64_t> files_;
};

}  // namespace drivebay
