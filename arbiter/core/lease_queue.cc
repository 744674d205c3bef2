// Who is served next. First come, first served; nobody passes a waiter whose access cannot stand beside his own, so
// readers that keep coming never starve a writer. Waiters whose blade is away stand behind those that are there, or two
// absent blades would take the drive from each other for ever.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "arbiter/core/refusals.h"
#include "arbiter/core/step.h"
#include "lib/base/planted_bug.h"

namespace drivebay::arbiter {
namespace {

bool is_away(const State& state, const Lease& lease) {
    const auto blade = state.blades.find(lease.blade);
    return blade == state.blades.end() || !blade->second.live;
}

// One blade has one view of a drive, so two of its own leases never stand side by side, whatever their modes.
bool compatible(const Lease& one, const Lease& other) {
    return one.blade != other.blade && coexist(one.mode, other.mode);
}

bool goes_before(const State& state, const Lease& one, const Lease& other) {
    return std::pair(is_away(state, one), one.order) < std::pair(is_away(state, other), other.order);
}

}  // namespace

std::string hindrance(const State& state, const std::string& name) {
    for (const auto& [id, lease] : state.leases) {
        if (lease.drive == name && is_active(lease) && !is_local(lease) && state.blades.at(lease.blade).awaited) {
            return fmt::format("the arbiter has just started and waits for {}, which holds drive {}, to report",
                               lease.blade, name);
        }
    }
    return out_of_order(state, name);
}

std::string out_of_order(const State& state, const std::string& name) {
    if (!state.data_path_online) {
        return "the data path (drivebayfs on the management module) is not connected to the arbiter";
    }
    const auto found = state.drives.find(name);
    if (found == state.drives.end()) {
        return fmt::format("there is no drive {}", name);
    }
    const Drive& drive = found->second;
    if (drive.observed && drive.observed->generation == drive.generation) {
        return drive.observed->state == protocol::DriveState::ready
                   ? std::string()
                   : fmt::format("drive {} has failed: {}", name, drive.observed->error);
    }
    // A refreshed drive may still be open as it was before: nobody gets it until it was opened anew.
    return drive.generation > 1 ? fmt::format("drive {} is being opened again", name) : std::string();
}

std::vector<Holder> behind(const State& state, const Lease& waiter) {
    std::vector<Holder> holders;
    if (waiter.state != LeaseState::waiting) {
        return holders;
    }
    std::vector<const Lease*> earlier;
    for (const auto& [id, other] : state.leases) {
        if (other.drive != waiter.drive || other.blade == waiter.blade || coexist(waiter.mode, other.mode)) {
            continue;
        }
        if (is_active(other) || other.state == LeaseState::fencing) {
            holders.push_back({other.blade, other.mode, other.epoch});
        } else if (other.state == LeaseState::waiting && goes_before(state, other, waiter)) {
            earlier.push_back(&other);
        }
    }
    for (const auto& [order, mode] : state.strays) {
        if (order.drive == waiter.drive && order.blade != waiter.blade && !coexist(mode, waiter.mode)) {
            holders.push_back({order.blade, mode, order.epoch});
        }
    }
    std::sort(earlier.begin(), earlier.end(),
              [&state](const Lease* one, const Lease* other) { return goes_before(state, *one, *other); });
    for (const Lease* other : earlier) {
        holders.push_back({other->blade, other->mode, 0});
    }
    return holders;
}

bool Step::is_free_for(const Lease& lease) const {
    const bool held = std::any_of(state_.leases.begin(), state_.leases.end(), [&lease](const auto& entry) {
        const Lease& other = entry.second;
        return other.drive == lease.drive && other.id != lease.id &&
               (is_active(other) || other.state == LeaseState::fencing) && !compatible(lease, other);
    });
    const bool strayed = std::any_of(state_.strays.begin(), state_.strays.end(), [&lease](const auto& entry) {
        return entry.first.drive == lease.drive &&
               (entry.first.blade == lease.blade || !coexist(entry.second, lease.mode));
    });
    return !held && !strayed;
}

void Step::grant_waiters() {
    std::map<std::string, std::vector<Lease*>> queues;
    for (auto& [id, lease] : state_.leases) {
        if (lease.state == LeaseState::waiting) {
            queues[lease.drive].push_back(&lease);
        }
    }
    for (auto& [drive, queue] : queues) {
        if (hindrance(state_, drive).empty()) {
            serve(queue);
        }
        for (Lease* lease : queue) {
            if (lease->state == LeaseState::waiting && !std::exchange(lease->wait_told, true)) {
                const auto holders = behind(state_, *lease);
                audit("waits", *lease, holders.empty() ? hindrance(state_, drive) : "behind " + name_holders(holders));
            }
        }
    }
}

void Step::serve(std::vector<Lease*>& queue) {
    std::sort(queue.begin(), queue.end(),
              [this](const Lease* one, const Lease* other) { return goes_before(state_, *one, *other); });
    std::vector<const Lease*> passed;
    for (Lease* lease : queue) {
        const bool overtakes = std::any_of(passed.begin(), passed.end(),
                                           [lease](const Lease* earlier) { return !compatible(*lease, *earlier); });
        if ((overtakes && !planted(PlantedBug::readers_overtake_writers)) || !is_free_for(*lease)) {
            passed.push_back(lease);
        } else {
            grant(*lease);
        }
    }
}

void Step::grant(Lease& lease) {
    lease.epoch = next_epoch(lease.drive);
    lease.state = LeaseState::granted;
    lease.since_ms = wall_ms_;
    if (lease.wish == 0) {
        // With the term: a store that was rolled back gives the numbers of its leases once more.
        lease.wish = state_.term << 32 | lease.id;
    }
    changed(lease);
    table_changed();
    audit("granted", lease);
}

Epoch Step::next_epoch(const std::string& drive) {
    if (!planted(PlantedBug::epoch_not_stored)) {
        actions_.changes.epochs.insert(drive);
    }
    return ++state_.epochs[drive];
}

Lease& Step::new_lease(const std::string& drive, const std::string& blade, Mode mode, int slot) {
    Lease lease;
    lease.id = ++state_.last_lease;
    lease.drive = drive;
    lease.blade = blade;
    lease.mode = mode;
    lease.slot = slot;
    lease.order = ++state_.last_order;
    lease.since_ms = wall_ms_;
    Lease& stored = state_.leases.emplace(lease.id, std::move(lease)).first->second;
    changed(stored);
    return stored;
}

}  // namespace drivebay::arbiter
