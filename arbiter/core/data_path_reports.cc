// What the data path says: which epochs it admits, which it has ended, and how high it has ever gone.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "arbiter/core/step.h"
#include "lib/base/names.h"
#include "lib/base/planted_bug.h"

namespace drivebay::arbiter {

void Step::raise_floor(const std::string& drive, Epoch floor) {
    Epoch& epoch = state_.epochs[drive];
    if (epoch < floor && !planted(PlantedBug::floors_are_ignored)) {
        actions_.audit.push_back(
            {.event = "epochs-raised",
             .drive = drive,
             .epoch = floor,
             .detail = "the data path has seen higher epochs: the arbiter's store was lost or rolled back"});
        epoch = floor;
        actions_.changes.epochs.insert(drive);
    }
}

void Step::raise_term(Term heard) {
    state_.term = heard + 1;
    state_.data_path_obeys = false;
    actions_.changes.term = true;
    actions_.audit.push_back(
        {.event = "term-raised",
         .detail = fmt::format("to {}: term {} was heard of, which this store does not know", state_.term, heard)});
    state_.table_version = std::max(state_.table_version, first_version(state_.term));
    table_changed();
    for (auto& [name, blade] : state_.blades) {
        blade.version = std::max(blade.version, first_version(state_.term));
    }
}

void Step::handle(const DataPathArrived& arrived) {
    const auto& hello = arrived.hello;
    state_.data_path_online = true;
    state_.data_path_boot_id = hello.boot_id;
    // It decides who leads; what blades have heard is no longer needed for that.
    state_.rival_term = 0;
    actions_.audit.push_back({.event = "data-path-online"});
    if (state_.data_path_obeys && hello.term > state_.term) {
        actions_.deposed = fmt::format(
            "the data path has obeyed an arbiter of term {} since it last spoke to this one, of term {}: that one "
            "leads "
            "now, so this one ends; run one arbiter only",
            hello.term, state_.term);
        return;
    }
    // What it has heard before it ever obeyed this one was said by an arbiter that this store does not remember.
    if (!state_.data_path_obeys && hello.term >= state_.term) {
        raise_term(hello.term);
        state_.sure_term = state_.term;
    }
    for (const auto& [drive, floor] : hello.floors) {
        raise_floor(drive, floor);
    }
    state_.strays.clear();
    const auto stray = [this](const std::string& drive, const std::string& blade, Epoch epoch, Mode mode) {
        raise_floor(drive, epoch);
        if (planted(PlantedBug::strays_are_ignored)) {
            return;
        }
        state_.strays[{drive, blade, epoch}] = mode;
        actions_.audit.push_back({.event = "stray-admission",
                                  .drive = drive,
                                  .blade = blade,
                                  .epoch = epoch,
                                  .mode = std::string(to_string(mode)),
                                  .detail = "the data path admits what no lease stands for; it is fenced"});
    };
    std::vector<Lease> foreign;
    for (const Admission& admission : hello.admitted) {
        Lease* lease = find_by_epoch(state_, admission.drive, admission.blade, admission.epoch);
        if (!lease) {
            stray(admission.drive, admission.blade, admission.epoch, admission.mode);
        } else if (lease->mode != admission.mode) {
            foreign.push_back(*lease);
        } else if (lease->state == LeaseState::granted) {
            lease->state = LeaseState::held;
            changed(*lease);
            desired_changed(lease->blade);
            audit("held", *lease);
        }
    }
    for (const Lease& ours : foreign) {
        Lease& lease = state_.leases.at(ours.id);
        if (lease.wanted) {
            succeed(lease, lease.mode, true);
        }
        lease.mode = ours.mode == Mode::read ? Mode::write : Mode::read;  // until its end it is what is admitted
        fence(lease, lease.ending == Ending::none ? Ending::unadmitted : lease.ending,
              "its epoch was given for other access, by another arbiter that ran on a copy of the store");
    }
    const auto still_open = [&hello](const Lease& lease) {
        return std::find(hello.local.begin(), hello.local.end(), protocol::LocalUse{lease.drive, lease.epoch, false}) !=
               hello.local.end();
    };
    for (auto& [id, lease] : state_.leases) {
        if (is_local(lease) && is_active(lease) && !still_open(lease)) {
            // Its process died. What it wrote may still want its flush: that is an end only once it is said to be one.
            fence(lease, Ending::closed, "the data path no longer holds it");
            if (planted(PlantedBug::absent_local_use_taken_for_closed)) {
                finish(lease);
            }
        }
    }
    for (const auto& use : hello.local) {
        const std::string blade(local_blade);
        if (!find_by_epoch(state_, use.drive, blade, use.epoch)) {
            stray(use.drive, blade, use.epoch, Mode::write);
        }
    }
    for (auto& [name, drive] : state_.drives) {
        drive.observed.reset();
    }
    table_changed();
}

void Step::handle(const DataPathReported& report) {
    const auto& observed = report.observed;
    if (observed.version >= first_version(state_.term) && !std::exchange(state_.data_path_obeys, true)) {
        for (const auto& [name, blade] : state_.blades) {
            desired_changed(name);
        }
    }
    for (const auto& seen : observed.drives) {
        const auto found = state_.drives.find(seen.name);
        if (found == state_.drives.end()) {
            continue;
        }
        Drive& drive = found->second;
        if (drive.observed && drive.observed->generation > seen.generation && seen.generation != drive.generation) {
            continue;
        }
        const bool was_ready = !drive.observed || drive.observed->state == protocol::DriveState::ready;
        const bool ready = seen.state == protocol::DriveState::ready;
        if (was_ready != ready) {
            actions_.audit.push_back(
                {.event = ready ? "drive-ready" : "drive-failed", .drive = seen.name, .detail = seen.error});
        }
        drive.observed = seen;
        if (ready && seen.generation == drive.generation && seen.size != 0 && seen.size != drive.size) {
            drive.size = seen.size;
            actions_.changes.drives.insert(seen.name);
        }
    }
    for (auto& [id, lease] : state_.leases) {
        if (is_local(lease) || !is_active(lease)) {
            continue;
        }
        const bool admitted =
            std::find(observed.admitted.begin(), observed.admitted.end(),
                      Admission{lease.drive, lease.blade, lease.mode, lease.epoch}) != observed.admitted.end();
        if (admitted) {
            lease.unadmitted_since.reset();
            if (lease.state == LeaseState::granted) {
                lease.state = LeaseState::held;
                changed(lease);
                desired_changed(lease.blade);
                audit("held", lease);
            }
        } else if (!out_of_order(state_, lease.drive).empty()) {
            lease.unadmitted_since.reset();
        } else if (observed.version == state_.table_version) {
            // What an older table led to neither begins this nor ends it: tables may change faster than the patience.
            lease.unadmitted_since = lease.unadmitted_since.value_or(now_);
        }
    }
    for (const auto& fenced : observed.fenced) {
        if (state_.strays.erase({fenced.drive, fenced.blade, fenced.epoch}) > 0) {
            table_changed();
        }
        Lease* lease = find_by_epoch(state_, fenced.drive, fenced.blade, fenced.epoch);
        if (!lease || lease->state != LeaseState::fencing) {
            continue;
        }
        if (!fenced.flushed && !fenced.error.empty()) {
            audit("flush-failed", *lease, fenced.error);
            lease->outcome += fmt::format(" (the drive could not be flushed: {})", fenced.error);
        }
        audit("fenced", *lease, lease->outcome);
        finish(*lease);
        table_changed();
    }
    for (const auto& counters : observed.counters) {
        state_.counters[{counters.drive, counters.blade}] = counters;
    }
}

// The data path of this machine would have told by now how high to go, and this arbiter would have gone above it.
void Step::watch_rival() {
    if (state_.rival_term > state_.term && now_ >= state_.rival_since + state_.timing.ttl) {
        actions_.deposed = fmt::format(
            "blades have heard an arbiter of term {} and this one is of term {}, and no data path has come to it: it "
            "runs "
            "on an old copy of the store, so it ends; run one arbiter only, or start drivebayfs if this is the one",
            state_.rival_term, state_.term);
    }
}

void Step::handle(const DataPathLeft&) {
    if (state_.data_path_online) {
        state_.data_path_online = false;
        actions_.audit.push_back({.event = "data-path-offline"});
        if (planted(PlantedBug::dead_data_path_taken_for_fenced)) {
            for (auto& [id, lease] : state_.leases) {
                if (lease.state == LeaseState::fencing) {
                    finish(lease);
                }
            }
        }
        for (auto& [id, lease] : state_.leases) {
            lease.unadmitted_since.reset();
        }
    }
}

// A ready drive whose data path still does not admit an epoch never will: it has seen that epoch end.
void Step::requeue_unadmitted() {
    std::vector<LeaseId> due;
    for (const auto& [id, lease] : state_.leases) {
        if (is_active(lease) && lease.unadmitted_since &&
            now_ >= *lease.unadmitted_since + state_.timing.admit_patience) {
            due.push_back(id);
        }
    }
    for (const LeaseId id : due) {
        Lease& lease = state_.leases.at(id);
        if (lease.wanted) {
            succeed(lease, lease.mode, true);
        }
        fence(lease, lease.ending == Ending::none ? Ending::unadmitted : lease.ending,
              "the data path does not admit its epoch");
    }
}

}  // namespace drivebay::arbiter
