// Drives and blades come, are refreshed, go.
#include <fmt/format.h>

#include "arbiter/core/refusals.h"
#include "arbiter/core/step.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {
namespace {

// Everyone who has to do with a drive, or all that a blade has to do with.
template <class Match, class Name>
std::string list_users(const State& state, Match match, Name name) {
    std::string users;
    for (const auto& [id, lease] : state.leases) {
        if (is_gone(lease) || !match(lease)) {
            continue;
        }
        users += fmt::format("{}{} ({}{})", users.empty() ? "" : ", ", name(lease), to_string(lease.mode),
                             lease.state == LeaseState::waiting   ? ", waiting"
                             : lease.state == LeaseState::fencing ? ", ending"
                                                                  : "");
    }
    return users;
}

std::string who(const Lease& lease) {
    return is_local(lease) ? "the management module itself" : lease.blade;
}

}  // namespace

std::optional<Refusal> check_new_drive(const State& state, const std::string& name) {
    if (const Status fit = check_name("drive", name); !fit) {
        return Refusal{400, fit.error().message};
    }
    if (const auto found = state.drives.find(name); found != state.drives.end()) {
        return Refusal{409,
                       fmt::format("there is a drive {} already (its source is {}); choose another name, or remove it "
                                   "first with: drivebay drive remove {}",
                                   name, found->second.source, name)};
    }
    return std::nullopt;
}

void Step::handle(const AddDrive& add) {
    if (auto refusal = check_new_drive(state_, add.drive.name)) {
        actions_.refusal = std::move(refusal);
        return;
    }
    state_.drives[add.drive.name] = add.drive;
    state_.epochs.try_emplace(add.drive.name, 0);
    actions_.changes.drives.insert(add.drive.name);
    actions_.changes.epochs.insert(add.drive.name);
    table_changed();
    actions_.audit.push_back({.event = "drive-added", .drive = add.drive.name, .detail = add.drive.source});
}

void Step::handle(const RemoveDrive& remove) {
    if (!state_.drives.contains(remove.name)) {
        actions_.refusal = no_such_drive(state_, remove.name);
        return;
    }
    const std::string users = list_users(
        state_, [&remove](const Lease& lease) { return lease.drive == remove.name; }, who);
    if (!users.empty()) {
        refuse(409, fmt::format("drive {} is in use by {}; withdraw it first with: drivebay withdraw {} --from all",
                                remove.name, users, remove.name));
        return;
    }
    state_.drives.erase(remove.name);
    actions_.changes.drives.insert(remove.name);
    table_changed();
    actions_.audit.push_back({.event = "drive-removed", .drive = remove.name});
}

void Step::handle(const RefreshDrive& refresh) {
    const auto found = state_.drives.find(refresh.name);
    if (found == state_.drives.end()) {
        actions_.refusal = no_such_drive(state_, refresh.name);
        return;
    }
    const std::string in_the_way = list_users(
        state_,
        [&refresh](const Lease& lease) {
            return lease.drive == refresh.name && is_active(lease) && (lease.mode == Mode::write || is_local(lease));
        },
        who);
    if (!in_the_way.empty()) {
        refuse(409,
               fmt::format("drive {} is in use by {}, and a refresh would pull it away; withdraw or close it first",
                           refresh.name, in_the_way));
        return;
    }
    ++found->second.generation;
    actions_.changes.drives.insert(refresh.name);
    table_changed();
    actions_.audit.push_back({.event = "drive-refreshed",
                              .drive = refresh.name,
                              .detail = "generation " + std::to_string(found->second.generation)});
    std::vector<LeaseId> readers;
    for (const auto& [id, lease] : state_.leases) {
        if (lease.drive == refresh.name && is_active(lease)) {
            readers.push_back(id);
        }
    }
    for (const LeaseId id : readers) {
        Lease& lease = state_.leases.at(id);
        if (lease.state == LeaseState::revoking) {
            continue;
        }
        succeed(lease, lease.mode, true);
        revoke(lease, Ending::refreshed, now_ + state_.timing.withdraw_deadline);
    }
}

void Step::handle(const AddBlade& add) {
    if (const Status fit = check_name("blade", add.name); !fit) {
        refuse(400, fit.error().message);
        return;
    }
    if (state_.blades.contains(add.name)) {
        refuse(409, fmt::format("there is a blade {} already", add.name));
        return;
    }
    Blade blade;
    blade.name = add.name;
    blade.version = first_version(state_.term);
    state_.blades.emplace(add.name, std::move(blade));
    actions_.changes.blades.insert(add.name);
    actions_.audit.push_back({.event = "blade-added", .blade = add.name});
}

void Step::handle(const RemoveBlade& remove) {
    if (!state_.blades.contains(remove.name)) {
        actions_.refusal = no_such_blade(state_, remove.name);
        return;
    }
    const std::string has = list_users(
        state_, [&remove](const Lease& lease) { return lease.blade == remove.name; },
        [](const Lease& lease) { return lease.drive; });
    if (!has.empty()) {
        refuse(409, fmt::format("blade {} still has {}; withdraw that first with: drivebay withdraw DRIVE --from {}",
                                remove.name, has, remove.name));
        return;
    }
    state_.blades.erase(remove.name);
    actions_.changes.blades.insert(remove.name);
    actions_.dropped_blades.insert(remove.name);
    actions_.audit.push_back({.event = "blade-removed", .blade = remove.name});
}

}  // namespace drivebay::arbiter
