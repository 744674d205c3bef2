#include <algorithm>
#include <cerrno>

#include "fusefs/fuse_front/fuse_range.h"
#include "fusefs/fuse_front/fuse_tree.h"
#include "lib/base/names.h"
#include "lib/rpc/endpoint.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

namespace {

void check_reference(const std::string& text) {
    const std::optional<DriveReference> reference = parse_drive_reference(text);
    if (!reference) {
        return;
    }
    require(reference->drive.size() <= text.size(), "a drive's name is longer than the text");
    require(reference->instance == 0 || reference->epoch != 0, "an instance without an epoch");
    std::string again = reference->drive;
    again += reference->epoch != 0 ? "@" + std::to_string(reference->epoch) : "";
    again += reference->instance != 0 ? "#" + std::to_string(reference->instance) : "";
    const std::optional<DriveReference> twice = parse_drive_reference(again);
    require(twice && twice->drive == reference->drive && twice->epoch == reference->epoch &&
                twice->instance == reference->instance,
            "a reference is not what it was when it is written down");
    if (reference->drive.size() <= max_name_length && check_name("drive", reference->drive)) {
        require(reference->drive.find_first_of("/@#\n") == std::string::npos, "a good name holds a separator");
    }
}

void check_ranges(Reader& input) {
    const auto offset = input.number<std::uint64_t>();
    const auto length = input.number<std::uint64_t>();
    const std::uint64_t end = input.number<std::uint64_t>() >> 1;  // a size fits an off_t
    const auto mode = input.number<std::uint32_t>();
    const FuseRange range = clipped_range(offset, length, end);
    require(range.offset <= end && range.length <= end - range.offset, "a range reaches behind the end");
    require(range.length == 0 || range.offset == offset, "a range begins elsewhere");
    const FuseZeroing zeroing = judge_fallocate(mode, offset, length, end);
    require(zeroing.range.offset <= end && zeroing.range.length <= end - zeroing.range.offset,
            "zeroes reach behind the end");
    require(zeroing.error == 0 || zeroing.range.length == 0, "what is refused is zeroed");
    require(zeroing.range.length <= length, "more is zeroed than was asked for");

    std::vector<Extent> extents;
    std::uint64_t covered = 0;
    while (!input.empty() && extents.size() < 64) {
        const auto word = input.number<std::uint32_t>();
        extents.push_back({word >> 2, (word & 1) != 0, (word & 2) != 0});
        covered += extents.back().length;
    }
    for (const bool data : {true, false}) {
        const auto place = seek_among(extents, range.offset, data);
        require(!place || (*place >= range.offset && *place - range.offset <= covered), "a seek ends elsewhere");
    }
}

// What the kernel does with inodes, in any order, with any numbers.
void use_tree(Reader& input, FuseTree::Layout layout) {
    Result<KeptMemory> kept = KeptMemory::create();
    require(kept.ok(), "there is no memory");
    FuseTree tree(layout, kept->layout());
    const std::size_t at_first = tree.size();
    std::uint64_t made = 0;
    while (!input.empty()) {
        const auto what = input.number<std::uint8_t>();
        const std::uint64_t number = input.number<std::uint8_t>() % 16;
        FuseNode* const node = tree.find(number);
        switch (what % 6) {
            case 0: tree.looked_up(tree.folder("b" + std::to_string(what / 6 % 4))), ++made; break;
            case 1:
                if (node != nullptr && node->kind == FuseNode::Kind::folder) {
                    ViewInfo info;
                    info.admission = {"d", node->blade, Mode::read, static_cast<Epoch>(1 + what / 6 % 4)};
                    FuseNode& file = tree.file(*node, {"d", static_cast<Epoch>(what / 24), 0}, info);
                    require(tree.find(file.number) == &file, "a file's number is not its own");
                    tree.looked_up(file), ++made;
                }
                break;
            case 2: tree.forget(number, input.number<std::uint8_t>()); break;
            case 3: tree.forget(number, UINT64_MAX); break;
            case 4:
                if (node != nullptr) {
                    tree.opened(*node);
                }
                break;
            default: tree.closed(number); break;
        }
        require(tree.size() <= at_first + made, "nodes come from nowhere");
        require(tree.find(FuseTree::root) != nullptr, "the root is gone");
    }
    for (std::uint64_t number = 0; number <= made + FuseTree::drives_folder; ++number) {
        while (FuseNode* const node = tree.find(number)) {
            if (number <= FuseTree::drives_folder || (node->handles == 0 && node->lookups == 0)) {
                break;
            }
            tree.closed(number);
            tree.forget(number, UINT64_MAX);
        }
    }
    require(tree.size() == at_first, "a node that nobody knows any more is kept");
}

}  // namespace

void names(Bytes input) {
    Reader reader(input);
    const auto what = reader.number<std::uint8_t>() % 5;
    if (what == 0) {
        check_reference(reader.rest());
    } else if (what == 1) {
        const std::string text = reader.rest();
        const Result<rpc::Endpoint> endpoint = rpc::parse_endpoint(text, 4740);
        if (endpoint && !endpoint->is_unix()) {
            const Result<rpc::Endpoint> again = rpc::parse_endpoint(rpc::to_string(*endpoint), 1);
            require(again && again->host == endpoint->host && again->port == endpoint->port,
                    "an address is not what it was when it is written down");
        }
        (void)check_name("drive", text);
    } else if (what == 2) {
        check_ranges(reader);
    } else {
        use_tree(reader, what == 3 ? FuseTree::Layout::management : FuseTree::Layout::blade);
    }
}

}  // namespace drivebay::fuzz
