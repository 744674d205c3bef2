#include "arbiter/core/desired_state.h"

#include "arbiter/core/slot_choice.h"

namespace drivebay::arbiter {

protocol::Desired desired_state(const State& state, const std::string& name) {
    const Blade& blade = state.blades.at(name);
    protocol::Desired desired;
    desired.term = state.term;
    desired.version = blade.version;
    for (const auto& [id, lease] : state.leases) {
        if (lease.blade != name || (lease.state != LeaseState::held && lease.state != LeaseState::revoking)) {
            continue;
        }
        const Drive& drive = state.drives.at(lease.drive);
        desired.slots.push_back({.slot = lease.slot,
                                 .drive = lease.drive,
                                 .epoch = lease.epoch,
                                 .access = lease.mode,
                                 .kind = shown_as(drive, blade, lease.slot),
                                 .size = drive.size,
                                 .eject = lease.state == LeaseState::revoking,
                                 .wish = lease.wish});
    }
    return desired;
}

protocol::Table data_path_table(const State& state) {
    protocol::Table table;
    table.term = state.term;
    table.version = state.table_version;
    for (const auto& [name, drive] : state.drives) {
        table.drives.push_back({name, drive.source, drive.kind, drive.read_only, drive.generation});
    }
    for (const auto& [id, lease] : state.leases) {
        if (lease.state == LeaseState::fencing) {
            table.fence.push_back({lease.drive, lease.blade, lease.epoch});
        } else if (is_active(lease) && !is_local(lease)) {
            // An admission of @local is made by the answer that grants it, and by nothing else.
            table.admit.push_back({lease.drive, lease.blade, lease.mode, lease.epoch});
        }
    }
    for (const auto& [order, mode] : state.strays) {
        table.fence.push_back(order);
    }
    return table;
}

}  // namespace drivebay::arbiter
