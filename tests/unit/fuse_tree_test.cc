#define BOOST_TEST_DYN_LINK
#include "fusefs/fuse_front/fuse_tree.h"

#include <boost/test/unit_test.hpp>

namespace drivebay {

namespace {

ViewInfo view(const std::string& drive, Epoch epoch) {
    ViewInfo info;
    info.admission = {drive, "blade01", Mode::read, epoch};
    return info;
}

KeptMemory new_memory() {
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    return std::move(*memory);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fuse_tree)

BOOST_AUTO_TEST_CASE(another_epoch_has_the_old_ones_inode) {
    KeptMemory kept = new_memory();
    FuseTree tree(FuseTree::Layout::management, kept.layout());
    FuseNode& folder = tree.folder("blade01");
    const std::uint64_t first = tree.file(folder, {"install", 0, 0}, view("install", 7)).number;
    BOOST_TEST(tree.file(folder, {"install", 7, 0}, view("install", 7)).number == first);
    BOOST_TEST(tree.file(folder, {"install", 0, 0}, view("install", 8)).number != first);
    BOOST_TEST(tree.find(first)->name.epoch == 7U);
}

BOOST_AUTO_TEST_CASE(a_local_file_changes_its_inode_with_each_lease) {
    KeptMemory kept = new_memory();
    FuseTree tree(FuseTree::Layout::management, kept.layout());
    FuseNode& drives = *tree.find(FuseTree::drives_folder);
    const std::uint64_t before = tree.file(drives, {"scratch", 0, 0}, view("scratch", 0)).number;
    BOOST_TEST(tree.file(drives, {"scratch", 0, 0}, view("scratch", 9)).number == before);
    BOOST_TEST(tree.find(before)->name.epoch == 0U);
    BOOST_TEST(tree.file(drives, {"scratch", 9, 0}, view("scratch", 9)).number != before);
}

BOOST_AUTO_TEST_CASE(one_drive_of_two_blades_is_one_inode) {
    KeptMemory kept = new_memory();
    FuseTree tree(FuseTree::Layout::management, kept.layout());
    FuseNode& one = tree.folder("blade01");
    FuseNode& two = tree.folder("blade02");
    BOOST_TEST(one.number != two.number);
    BOOST_TEST(tree.folder("blade01").number == one.number);
    BOOST_TEST(tree.file(one, {"d", 0, 0}, view("d", 1)).number != tree.file(two, {"d", 0, 0}, view("d", 1)).number);
}

BOOST_AUTO_TEST_CASE(a_forgotten_inode_is_kept_or_a_used_one_dropped) {
    KeptMemory kept = new_memory();
    FuseTree tree(FuseTree::Layout::blade, kept.layout());
    const std::size_t empty = tree.size();
    FuseNode& node = tree.file(*tree.find(FuseTree::root), {"d", 0, 0}, view("d", 1));
    const std::uint64_t number = node.number;
    tree.looked_up(node);
    tree.looked_up(node);
    tree.opened(node);
    tree.forget(number, 1);
    BOOST_REQUIRE(tree.find(number) != nullptr);
    tree.forget(number, 1);
    BOOST_REQUIRE(tree.find(number) != nullptr);  // it is open
    tree.closed(number);
    BOOST_TEST(tree.find(number) == nullptr);
    BOOST_TEST(tree.size() == empty);
    FuseNode& again = tree.file(*tree.find(FuseTree::root), {"d", 0, 0}, view("d", 1));
    BOOST_TEST(again.number != number);
}

BOOST_AUTO_TEST_CASE(the_root_can_be_forgotten) {
    KeptMemory kept = new_memory();
    FuseTree tree(FuseTree::Layout::management, kept.layout());
    tree.forget(FuseTree::root, 1000);
    tree.forget(FuseTree::blades_folder, 1000);
    BOOST_TEST(tree.find(FuseTree::root) != nullptr);
    BOOST_TEST(tree.find(FuseTree::blades_folder) != nullptr);
    tree.forget(4711, 1);
}

BOOST_AUTO_TEST_CASE(an_inode_does_not_outlive_its_server) {
    KeptMemory kept = new_memory();
    std::uint64_t number = 0;
    std::uint64_t forgotten = 0;
    {
        FuseTree tree(FuseTree::Layout::management, kept.layout());
        FuseNode& folder = tree.folder("blade01");
        tree.looked_up(folder);
        ViewInfo info = view("install", 7);
        info.geometry.size = 1 << 20;
        info.admission.mode = Mode::write;
        FuseNode& file = tree.file(folder, {"install", 0, 0}, info);
        tree.looked_up(file);
        tree.looked_up(file);
        number = file.number;
        FuseNode& other = tree.file(folder, {"other", 0, 0}, view("other", 1));
        tree.looked_up(other);
        forgotten = other.number;
        tree.forget(forgotten, 1);
    }
    FuseTree successor(FuseTree::Layout::management, kept.layout());
    const FuseNode* const found = successor.find(number);
    BOOST_REQUIRE(found != nullptr);
    BOOST_TEST(found->blade == "blade01");
    BOOST_TEST(found->name.drive == "install");
    BOOST_TEST(found->name.epoch == 7U);
    BOOST_TEST(found->info.admission.epoch == 7U);
    BOOST_TEST((found->info.admission.mode == Mode::write));
    BOOST_TEST(found->info.geometry.size == 1U << 20);
    BOOST_TEST(found->lookups == 2U);
    BOOST_TEST(successor.find(forgotten) == nullptr);
    BOOST_TEST(successor.file(successor.folder("blade01"), {"install", 7, 0}, view("install", 7)).number == number);
    BOOST_TEST(successor.file(successor.folder("blade01"), {"other", 0, 0}, view("other", 1)).number > forgotten);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
