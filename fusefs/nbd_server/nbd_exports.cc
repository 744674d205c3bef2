#include "fusefs/nbd_server/nbd_exports.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::nbd {

namespace {

// Gathers the lists of all blades.
struct Listing {
    std::vector<std::string> names;
    std::size_t missing = 0;
    std::function<void(std::vector<std::string>)> callback;
};

}  // namespace

bool Exports::may_see(const NbdPeer& peer, const std::string& blade) {
    // The pseudo-blade is nobody's.
    return blade != local_blade && (peer.blade.empty() || peer.blade == blade);
}

bool Exports::may_have(const NbdPeer& peer, const std::string& blade, const std::string& name) {
    const bool may = may_see(peer, blade);
    if (!may) {
        denials_.note({peer.address, peer.identity, name, "the export is another blade's"});
    }
    return may;
}

Result<Exports::ExportName> Exports::parse(const std::string& name) {
    const Error unknown{ENOENT, "there is no export " + log::quoted(name)};
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) {
        return unknown;
    }
    ExportName parsed;
    parsed.blade = name.substr(0, slash);
    const auto drive = parse_drive_reference(std::string_view(name).substr(slash + 1));
    if (parsed.blade.empty() || !drive) {
        return unknown;
    }
    parsed.drive = *drive;
    return parsed;
}

void Exports::list(const NbdPeer& peer, std::function<void(std::vector<std::string>)> callback) {
    catalogue_.list_blades([this, peer, callback = std::move(callback)](const std::vector<std::string>& blades) {
        const auto listing = std::make_shared<Listing>();
        listing->callback = callback;
        listing->missing = 1;
        const auto arrived = [listing] {
            if (--listing->missing == 0) {
                std::sort(listing->names.begin(), listing->names.end());
                listing->callback(std::move(listing->names));
            }
        };
        for (const std::string& blade : blades) {
            if (!may_see(peer, blade)) {
                continue;
            }
            ++listing->missing;
            catalogue_.list(blade, [listing, arrived, blade](const Result<std::vector<ViewInfo>>& views) {
                if (views) {
                    for (const ViewInfo& view : *views) {
                        listing->names.push_back(blade + "/" + view.admission.drive);
                    }
                }
                arrived();
            });
        }
        arrived();
    });
}

void Exports::look_up(const NbdPeer& peer, const std::string& name, std::function<void(Result<ViewInfo>)> callback) {
    const Result<ExportName> parsed = parse(name);
    if (!parsed || !may_have(peer, parsed->blade, name)) {
        return callback(Error{ENOENT, "there is no export " + log::quoted(name)});
    }
    catalogue_.look_up(parsed->blade, parsed->drive, std::move(callback));
}

void Exports::open(const NbdPeer& peer, const std::string& name, Connection connection, BarrierMember& member,
                   OpenCallback callback) {
    const Result<ExportName> parsed = parse(name);
    if (!parsed || !may_have(peer, parsed->blade, name)) {
        return callback(Error{ENOENT, "there is no export " + log::quoted(name)});
    }
    opening_.insert(connection);
    const ExportName wanted = *parsed;
    const auto opened = [this, connection, instance = wanted.drive.instance, &member,
                         callback](Result<std::shared_ptr<View>> view) {
        if (opening_.erase(connection) == 0) {
            return;
        }
        if (!view || instance == 0) {
            return callback(std::move(view));
        }
        const Admission& admission = (*view)->info().admission;
        pass_barrier({admission.drive, admission.blade, admission.epoch}, instance, connection, member, *view, callback);
    };
    catalogue_.look_up(wanted.blade, wanted.drive, [this, wanted, opened](const Result<ViewInfo>& info) {
        if (!info) {
            return opened(info.error());
        }
        // The epoch that was looked up, so that the mode fits it.
        const DriveReference exact{wanted.drive.drive, info->admission.epoch, 0};
        catalogue_.open(wanted.blade, exact, info->admission.mode, opened);
    });
}

void Exports::pass_barrier(const Key& key, std::uint64_t instance, Connection connection, BarrierMember& member,
                           std::shared_ptr<View> view, OpenCallback callback) {
    if (view->ended()) {
        return callback(Error{ESHUTDOWN, "the epoch has just ended"});
    }
    const auto [entry, is_new] = barriers_.try_emplace(key);
    if (is_new) {
        // Kept as long as the epoch, not as long as its connections: a lower instance may come when all have gone.
        view->on_end([this, key] { close_barrier(key); });
    }
    std::vector<Connection> shut;
    std::vector<Connection> dropped;
    const InstanceBarrier::Decision decision = entry->second.arrive(connection, instance, shut, dropped);
    const std::string overtaken = "instance " + std::to_string(entry->second.highest()) + " of this client is there";
    if (decision != InstanceBarrier::Decision::refuse) {
        guests_.emplace(connection, Guest{key, &member, nullptr, nullptr});
    }
    for (const Connection old : shut) {
        guests_.at(old).member->shut(overtaken);
    }
    for (const Connection old : dropped) {
        const OpenCallback refused = std::move(guests_.at(old).callback);
        guests_.erase(old);
        refused(Error{EBUSY, overtaken});
    }
    switch (decision) {
        case InstanceBarrier::Decision::enter: return callback(std::move(view));
        case InstanceBarrier::Decision::refuse: return callback(Error{EBUSY, overtaken});
        case InstanceBarrier::Decision::wait: break;
    }
    Guest& guest = guests_.at(connection);
    guest.view = std::move(view);
    guest.callback = std::move(callback);
}

void Exports::close_barrier(const Key& key) {
    barriers_.erase(key);
    std::vector<OpenCallback> waiting;
    for (auto& [connection, guest] : guests_) {
        if (guest.key == key && guest.callback) {
            waiting.push_back(std::exchange(guest.callback, nullptr));
            guest.view.reset();
        }
    }
    for (const OpenCallback& callback : waiting) {
        callback(Error{ESHUTDOWN, "the epoch has just ended"});
    }
}

void Exports::ended(Connection connection) {
    opening_.erase(connection);
    const auto guest = guests_.extract(connection);
    if (!guest) {
        return;
    }
    const auto barrier = barriers_.find(guest.mapped().key);
    if (barrier == barriers_.end()) {
        return;
    }
    std::vector<Connection> entering;
    barrier->second.left(connection, entering);
    for (const Connection next : entering) {
        Guest& entered = guests_.at(next);
        const OpenCallback callback = std::exchange(entered.callback, nullptr);
        std::shared_ptr<View> view = std::exchange(entered.view, nullptr);
        if (view->ended()) {
            callback(Error{ESHUTDOWN, "the epoch has just ended"});
        } else {
            callback(std::move(view));
        }
    }
}

ExportDescription Exports::describe(const ViewInfo& info) {
    const bool writable = info.admission.mode == Mode::write && !info.geometry.read_only;
    ExportDescription description;
    description.size = info.geometry.size;
    // Multi-conn holds for all views: a flush through any connection is one of the whole drive.
    description.flags = has_flags | send_flush | can_multi_conn | send_cache;
    description.flags |= writable ? send_fua | send_trim | send_write_zeroes : read_only;
    description.flags |= info.geometry.rotational ? rotational : 0;
    description.preferred_block = std::max<std::uint32_t>(4096, info.geometry.block_size);
    description.description = info.description;
    return description;
}

}  // namespace drivebay::nbd
