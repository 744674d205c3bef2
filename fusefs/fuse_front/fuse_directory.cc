#include <cerrno>
#include <cstring>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

// readdir(3) may bear a number that nobody has looked up; libfuse's own word for "unknown" (lib/fuse.c).
constexpr std::uint64_t unknown_number = 0xffffffff;

void open_listing(const FuseCall& call, const fuse_file_info& info, FuseListing listing) {
    FuseFront& front = call.front();
    listing.entries.insert(listing.entries.begin(), {{".", true}, {"..", true}});
    const std::uint64_t number = ++front.last_listing;
    front.listings.emplace(number, std::move(listing));
    call.opened_folder(info, number);
}

void open_folder(fuse_req_t request, fuse_ino_t number, fuse_file_info* file_info) {
    const FuseCall call(request);
    FuseFront& front = call.front();
    const FuseNode* const node = front.tree.find(number);
    const fuse_file_info info = *file_info;
    if (node == nullptr || node->kind == FuseNode::Kind::file) {
        return call.error(node == nullptr ? ESTALE : ENOTDIR);
    }
    if (number == FuseTree::root && front.tree.layout() == FuseTree::Layout::management) {
        return open_listing(call, info, {{{"blades", true}, {"drives", true}}});
    }
    if (node->kind == FuseNode::Kind::blades) {
        return front.catalogue.list_blades([call, info](const std::vector<std::string>& blades) {
            FuseListing listing;
            for (const std::string& blade : blades) {
                listing.entries.push_back({blade, true});
            }
            open_listing(call, info, std::move(listing));
        });
    }
    front.catalogue.list(node->blade, [call, info](Result<std::vector<ViewInfo>> views) {
        if (!views) {
            return call.error(views.error().code);
        }
        FuseListing listing;
        for (const ViewInfo& view : *views) {
            listing.entries.push_back({view.admission.drive, false});
        }
        open_listing(call, info, std::move(listing));
    });
}

void read_folder(fuse_req_t request, fuse_ino_t, std::size_t room, off_t offset, fuse_file_info* info) {
    const FuseCall call(request);
    const auto found = call.front().listings.find(info->fh);
    if (found == call.front().listings.end()) {
        return call.error(EBADF);
    }
    const std::vector<FuseListing::Entry>& entries = found->second.entries;
    std::vector<std::byte> reply(room);
    std::size_t used = 0;
    for (std::size_t i = static_cast<std::size_t>(offset); i < entries.size(); ++i) {
        struct stat attributes {};
        attributes.st_ino = unknown_number;
        attributes.st_mode = entries[i].folder ? S_IFDIR : S_IFREG;
        const std::size_t size = fuse_add_direntry(request, reinterpret_cast<char*>(reply.data()) + used, room - used,
                                                   entries[i].name.c_str(), &attributes, static_cast<off_t>(i + 1));
        if (size > room - used) {
            break;
        }
        used += size;
    }
    call.data(std::span(reply).first(used));
}

void release_folder(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    call.front().listings.erase(info->fh);
    call.error(0);
}

}  // namespace

void fuse_directory_operations(fuse_lowlevel_ops& operations) {
    operations.opendir = open_folder;
    operations.readdir = read_folder;
    operations.releasedir = release_folder;
}

}  // namespace drivebay
