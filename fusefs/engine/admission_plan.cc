#include "fusefs/engine/admission_plan.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include "lib/base/names.h"
#include "lib/base/planted_bug.h"

namespace drivebay {

namespace {

std::string described(const Admission& admission) {
    return admission.blade + "'s " + std::string(to_string(admission.mode)) + " lease of epoch " +
           std::to_string(admission.epoch);
}

void raise_floor(TableState& state, const std::string& drive, Epoch epoch) {
    Epoch& floor = state.floors[drive];
    if (!planted(PlantedBug::floor_not_raised)) {
        floor = std::max(floor, epoch);
    }
}

bool in_use(const TableState& state, const std::string& drive) {
    const auto first = state.admissions.lower_bound({drive, 0});
    return first != state.admissions.end() && first->first.first == drive;
}

void forget_unused_drives(TableState& state) {
    std::erase_if(state.drives,
                  [&](const auto& entry) { return !entry.second.listed && !in_use(state, entry.first); });
}

}  // namespace

Status admit(TableState& state, const Admission& admission) {
    if (const auto same = state.admissions.find({admission.drive, admission.epoch}); same != state.admissions.end()) {
        if (same->second.admission != admission) {
            return Error{EINVAL, "that epoch is " + described(same->second.admission)};
        }
        return same->second.revoking ? Status(Error{EINVAL, "it is being fenced"}) : success();
    }
    const auto drive = state.drives.find(admission.drive);
    if (drive == state.drives.end() || !drive->second.listed) {
        return Error{EINVAL, "there is no such drive"};
    }
    if (const auto floor = state.floors.find(admission.drive);
        floor != state.floors.end() && admission.epoch <= floor->second) {
        return Error{EINVAL, "its epoch is not above " + std::to_string(floor->second) +
                                 ", the highest that was ever admitted or fenced"};
    }
    if (admission.epoch == 0) {
        return Error{EINVAL, "it has no epoch"};
    }
    if (admission.mode == Mode::write && drive->second.drive.read_only) {
        return Error{EINVAL, "the drive is read-only"};
    }
    for (auto other = state.admissions.lower_bound({admission.drive, 0});
         other != state.admissions.end() && other->first.first == admission.drive; ++other) {
        const Admission& present = other->second.admission;
        const bool both_read = present.mode == Mode::read && admission.mode == Mode::read;
        // One that is being fenced counts as well: its last writes may be on their way.
        if (!both_read || present.blade == admission.blade) {
            return Error{EINVAL, "it does not go beside " + described(present)};
        }
    }
    state.admissions.emplace(std::pair(admission.drive, admission.epoch), AdmissionRow{admission, false});
    raise_floor(state, admission.drive, admission.epoch);
    return success();
}

bool revoke(TableState& state, const protocol::FenceOrder& target) {
    const auto found = state.admissions.find({target.drive, target.epoch});
    if (found == state.admissions.end() || found->second.admission.blade != target.blade) {
        return false;
    }
    found->second.revoking = true;
    return true;
}

void record_fenced(TableState& state, const protocol::Fenced& fenced) {
    const auto found = state.admissions.find({fenced.drive, fenced.epoch});
    if (found != state.admissions.end() && found->second.admission.blade == fenced.blade) {
        state.admissions.erase(found);
    }
    raise_floor(state, fenced.drive, fenced.epoch);
    state.fenced.insert_or_assign({fenced.drive, fenced.blade, fenced.epoch}, fenced);
    forget_unused_drives(state);
}
void mark_writes(TableState& state, const std::string& drive, std::uint64_t generation, bool set) {
    if (const auto row = state.drives.find(drive); row != state.drives.end()) {
        row->second.writes_marked = set ? generation : 0;
    }
}

void revoke_local(TableState& state, const LocalEpochs& still_open) {
    for (auto& [key, row] : state.admissions) {
        const bool is_open = still_open.contains({row.admission.drive, row.admission.epoch});
        row.revoking = row.revoking || (row.admission.blade == local_blade && !is_open);
    }
}

Result<TableState> apply_table(const TableState& state, const protocol::Table& table, std::vector<Refusal>& refused) {
    if (table.term < state.term && !planted(PlantedBug::no_term_check)) {
        return Error{EPROTO, "the table's term " + std::to_string(table.term) + " is lower than " +
                                 std::to_string(state.term) + ", which was seen before: an older arbiter speaks"};
    }
    TableState next = state;
    next.term = table.term;
    for (auto& [name, row] : next.drives) {
        row.listed = false;
    }
    for (const protocol::TableDrive& drive : table.drives) {
        DriveRow& row = next.drives[drive.name];
        row.drive = drive;
        row.listed = true;
    }

    std::set<std::tuple<std::string, std::string, Epoch>> asked;
    for (const protocol::FenceOrder& order : table.fence) {
        asked.emplace(order.drive, order.blade, order.epoch);
        if (!revoke(next, order) && !next.fenced.contains({order.drive, order.blade, order.epoch})) {
            // Never admitted here, or fenced and answered before: nothing of it can be in flight.
            record_fenced(next, {order.drive, order.blade, order.epoch, true, ""});
        }
    }
    std::erase_if(next.fenced, [&](const auto& entry) { return !asked.contains(entry.first); });

    // In the order of their epochs, or the higher one's floor would keep the lower one out.
    std::vector<Admission> wanted = table.admit;
    std::sort(wanted.begin(), wanted.end(), [](const Admission& a, const Admission& b) { return a.epoch < b.epoch; });
    for (const Admission& admission : wanted) {
        if (asked.contains({admission.drive, admission.blade, admission.epoch})) {
            continue;
        }
        if (const Status admitted = admit(next, admission); !admitted) {
            refused.push_back({admission, admitted.error().message});
        }
    }
    forget_unused_drives(next);
    return next;
}

}  // namespace drivebay
