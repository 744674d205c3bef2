#include "fusefs/fuse_front/fuse_tree.h"

#include <algorithm>
#include <chrono>

namespace drivebay {

namespace {

std::shared_ptr<FuseChanged> changed_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::make_shared<FuseChanged>(std::chrono::nanoseconds(now).count());
}

}  // namespace

FuseTree::FuseTree(Layout layout) : layout_(layout) {
    nodes_[root].number = root;
    if (layout == Layout::management) {
        nodes_[blades_folder].number = blades_folder;
        nodes_[blades_folder].kind = FuseNode::Kind::blades;
        nodes_[drives_folder].number = drives_folder;
    }
    for (auto& [number, node] : nodes_) {
        node.changed = changed_now();
    }
}

FuseNode* FuseTree::find(std::uint64_t number) {
    const auto found = nodes_.find(number);
    return found == nodes_.end() ? nullptr : &found->second;
}

FuseNode& FuseTree::make(FuseNode::Kind kind, const std::string& blade) {
    FuseNode& node = nodes_[++last_number_];
    node.number = last_number_;
    node.kind = kind;
    node.blade = blade;
    node.changed = changed_now();
    return node;
}

FuseNode& FuseTree::folder(const std::string& blade) {
    if (const auto found = folders_.find(blade); found != folders_.end()) {
        return nodes_.at(found->second);
    }
    FuseNode& node = make(FuseNode::Kind::folder, blade);
    folders_.emplace(blade, node.number);
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
    nodes_.erase(number);
}

void FuseTree::forget(std::uint64_t number, std::uint64_t count) {
    if (FuseNode* const node = find(number)) {
        node->lookups -= std::min(node->lookups, count);
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
