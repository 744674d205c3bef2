#include <cerrno>
#include <cstring>

#include "fusefs/fuse_front/fuse_front.h"

namespace drivebay {

namespace {

// readdir(3) may bear a number that nobody has looked up; libfuse's own word for "unknown" (lib/fuse.c).
constexpr std::uint64_t unknown_number = 0xffffffff;

void keep_listing(FuseFront& front, std::uint64_t number, FuseListing listing) {
    listing.entries.insert(listing.entries.begin(), {{".", true}, {"..", true}});
    front.listings.insert_or_assign(number, std::move(listing));
}

void open_folder(fuse_req_t request, fuse_ino_t number, fuse_file_info* file_info) {
    const FuseCall call(request);
    const std::uint64_t listing = ++call.front().last_listing;
    fuse_list_folder(call.front(), number, listing, [call, listing, info = *file_info](int error) {
        error == 0 ? call.opened_folder(info, listing) : call.error(error);
    });
}

void answer_entries(const FuseCall& call, fuse_req_t request, const FuseListing& listing, std::size_t room,
                    std::size_t first) {
    std::vector<std::byte> reply(room);
    std::size_t used = 0;
    for (std::size_t i = first; i < listing.entries.size(); ++i) {
        const FuseListing::Entry& entry = listing.entries[i];
        struct stat attributes {};
        attributes.st_ino = unknown_number;
        attributes.st_mode = entry.folder ? S_IFDIR : S_IFREG;
        const std::size_t size = fuse_add_direntry(request, reinterpret_cast<char*>(reply.data()) + used, room - used,
                                                   entry.name.c_str(), &attributes, static_cast<off_t>(i + 1));
        if (size > room - used) {
            break;
        }
        used += size;
    }
    call.data(std::span(reply).first(used));
}

void read_folder(fuse_req_t request, fuse_ino_t number, std::size_t room, off_t offset, fuse_file_info* info) {
    const FuseCall call(request);
    const auto first = static_cast<std::size_t>(offset);
    const auto found = call.front().listings.find(info->fh);
    if (found != call.front().listings.end()) {
        return answer_entries(call, request, found->second, room, first);
    }
    // Opened from a server that is no more.
    fuse_list_folder(call.front(), number, info->fh, [call, request, room, first, listing = info->fh](int error) {
        if (error != 0) {
            return call.error(error);
        }
        answer_entries(call, request, call.front().listings.at(listing), room, first);
    });
}

void release_folder(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    const FuseCall call(request);
    call.front().listings.erase(info->fh);
    call.error(0);
}

}  // namespace

void fuse_list_folder(FuseFront& front, std::uint64_t number, std::uint64_t listing,
                      std::function<void(int error)> listed) {
    const FuseNode* const node = front.tree.find(number);
    if (node == nullptr || node->kind == FuseNode::Kind::file) {
        return listed(node == nullptr ? ESTALE : ENOTDIR);
    }
    if (number == FuseTree::root && front.tree.layout() == FuseTree::Layout::management) {
        keep_listing(front, listing, {{{"blades", true}, {"drives", true}}});
        return listed(0);
    }
    if (node->kind == FuseNode::Kind::blades) {
        return front.catalogue.list_blades([&front, listing, listed](const std::vector<std::string>& blades) {
            FuseListing folders;
            for (const std::string& blade : blades) {
                folders.entries.push_back({blade, true});
            }
            keep_listing(front, listing, std::move(folders));
            listed(0);
        });
    }
    front.catalogue.list(node->blade, [&front, listing, listed](Result<std::vector<ViewInfo>> views) {
        if (!views) {
            return listed(views.error().code);
        }
        FuseListing files;
        for (const ViewInfo& view : *views) {
            files.entries.push_back({view.admission.drive, false});
        }
        keep_listing(front, listing, std::move(files));
        listed(0);
    });
}

void fuse_directory_operations(fuse_lowlevel_ops& operations) {
    operations.opendir = open_folder;
    operations.readdir = read_folder;
    operations.releasedir = release_folder;
}

}  // namespace drivebay
