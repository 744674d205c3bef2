#include "fusefs/fuse_front/fuse_tree.h"

#include <algorithm>
#include <chrono>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay {

namespace {

std::shared_ptr<FuseChanged> changed_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::make_shared<FuseChanged>(std::chrono::nanoseconds(now).count());
}

}  // namespace

FuseTree::FuseTree(Layout layout, KeptLayout& kept) : layout_(layout), kept_(kept), records_(kept.node) {
    kept_.header.last_node = std::max(kept_.header.last_node, drives_folder);
    nodes_[root].number = root;
    if (layout == Layout::management) {
        nodes_[blades_folder].number = blades_folder;
        nodes_[blades_folder].kind = FuseNode::Kind::blades;
        nodes_[drives_folder].number = drives_folder;
    }
    for (auto& [number, node] : nodes_) {
        node.changed = changed_now();
    }
    for (KeptNode* const record : records_.in_use()) {
        restore(*record);
    }
}

void FuseTree::restore(KeptNode& record) {
    const std::uint64_t number = record.number.load();
    FuseNode& node = nodes_[number];
    node.number = number;
    node.kind = static_cast<FuseNode::Kind>(record.kind);
    node.blade = name_of(record.blade);
    node.name = DriveReference{std::string(name_of(record.drive)), record.epoch, 0};
    node.info.admission = {node.name.drive, node.blade.empty() ? std::string(local_blade) : node.blade,
                           static_cast<Mode>(record.mode), record.view_epoch};
    node.info.kind = static_cast<DriveKind>(record.drive_kind);
    node.info.geometry.size = record.size;
    node.info.geometry.block_size = record.block_size;
    node.info.geometry.read_only = record.read_only != 0;
    node.changed = changed_now();
    node.lookups = record.lookups;
    node.kept = &record;
    if (node.kind == FuseNode::Kind::file) {
        files_.emplace(FileKey{node.blade, node.name.drive, node.name.epoch}, number);
    } else {
        folders_.emplace(node.blade, number);
    }
}

// All but its number, which makes the record valid.
void FuseTree::keep(FuseNode& node) {
    if (node.kept == nullptr) {
        return;
    }
    KeptNode& record = *node.kept;
    record.kind = static_cast<std::uint8_t>(node.kind);
    set_name(record.blade, node.blade);
    set_name(record.drive, node.name.drive);
    record.epoch = node.name.epoch;
    record.view_epoch = node.info.admission.epoch;
    record.mode = static_cast<std::uint8_t>(node.info.admission.mode);
    record.drive_kind = static_cast<std::uint8_t>(node.info.kind);
    record.size = node.info.geometry.size;
    record.block_size = node.info.geometry.block_size;
    record.read_only = node.info.geometry.read_only ? 1 : 0;
    record.lookups = node.lookups;
    record.number.store(node.number);
}

void FuseTree::keep_lookups(const FuseNode& node) {
    if (node.kept != nullptr) {
        node.kept->lookups = node.lookups;
    }
}

FuseNode* FuseTree::find(std::uint64_t number) {
    const auto found = nodes_.find(number);
    return found == nodes_.end() ? nullptr : &found->second;
}

FuseNode& FuseTree::make(FuseNode::Kind kind, const std::string& blade) {
    const std::uint64_t number = ++kept_.header.last_node;
    FuseNode& node = nodes_[number];
    node.number = number;
    node.kind = kind;
    node.blade = blade;
    node.changed = changed_now();
    node.kept = records_.take();
    if (node.kept == nullptr) {
        log::warning("more files in use than a restarted drivebayfs can take over", {{"kept", KeptLayout::nodes}});
    }
    return node;
}

FuseNode& FuseTree::folder(const std::string& blade) {
    if (const auto found = folders_.find(blade); found != folders_.end()) {
        return nodes_.at(found->second);
    }
    FuseNode& node = make(FuseNode::Kind::folder, blade);
    folders_.emplace(blade, node.number);
    keep(node);
    return node;
}

FuseNode& FuseTree::file(const FuseNode& parent, const DriveReference& asked, const ViewInfo& info) {
    const bool lease_to_come = layout_ == Layout::management && parent.number == drives_folder;
    const Epoch epoch = lease_to_come ? asked.epoch : info.admission.epoch;
    const FileKey key{parent.blade, asked.drive, epoch};
    const auto found = files_.find(key);
    FuseNode& node = found == files_.end() ? make(FuseNode::Kind::file, parent.blade) : nodes_.at(found->second);
    files_.emplace(key, node.number);
    node.name = DriveReference{asked.drive, epoch, 0};
    node.info = info;
    keep(node);
    return node;
}

void FuseTree::drop_if_unused(std::uint64_t number) {
    const FuseNode* const node = find(number);
    if (node == nullptr || number <= drives_folder || node->lookups > 0 || node->handles > 0) {
        return;
    }
    if (node->kind == FuseNode::Kind::file) {
        files_.erase(FileKey{node->blade, node->name.drive, node->name.epoch});
    } else {
        folders_.erase(node->blade);
    }
    if (node->kept != nullptr) {
        records_.give_back(*node->kept);
    }
    nodes_.erase(number);
}

void FuseTree::forget(std::uint64_t number, std::uint64_t count) {
    if (FuseNode* const node = find(number)) {
        node->lookups -= std::min(node->lookups, count);
        keep_lookups(*node);
        drop_if_unused(number);
    }
}

void FuseTree::closed(std::uint64_t number) {
    if (FuseNode* const node = find(number)) {
        node->handles -= std::min<std::uint64_t>(node->handles, 1);
        drop_if_unused(number);
    }
}

}  // namespace drivebay
