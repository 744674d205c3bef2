#include "arbiter/core/slot_choice.h"

#include <fmt/format.h>

#include "lib/protocol/bounds.h"

namespace drivebay::arbiter {
namespace {

bool fits_a_cd(const Drive& drive) {
    return drive.kind == DriveKind::cdrom && drive.size <= largest_cdrom && drive.size >= smallest_cdrom &&
           drive.size % cdrom_block_size == 0;
}

// What is, or is going to be, in a slot. A lease in the data path's hands alone (fencing) is out of its slot already,
// or will be thrown out of it by whatever comes next.
const Lease* occupant(const State& state, const Blade& blade, int slot, const Lease* own) {
    for (const auto& [id, lease] : state.leases) {
        if (lease.blade == blade.name && lease.slot == slot && &lease != own &&
            (lease.state == LeaseState::waiting || is_active(lease))) {
            return &lease;
        }
    }
    return nullptr;
}

bool kind_fits(const Drive& drive, DriveKind slot) {
    return slot == DriveKind::disk || fits_a_cd(drive);
}

std::string as_disk_notice(const Drive& drive, int slot) {
    return fmt::format("{} is shown as a read-only disk in slot {}, because {}", drive.name, slot,
                       fits_a_cd(drive) ? "that is a disk slot" : "its size does not fit a CD-ROM");
}

std::string kind_sentence(const Drive& drive, const Blade& blade, int slot) {
    return fmt::format(
        "{} is a {} and does not fit slot {} of {}, which is a cdrom slot; choose a disk slot, or leave "
        "--slot away",
        drive.name, to_string(drive.kind), slot, blade.name);
}

}  // namespace

DriveKind shown_as(const Drive& drive, const Blade& blade, int slot) {
    const auto known = blade.slots.find(slot);
    const bool cdrom_slot = known == blade.slots.end() || known->second == DriveKind::cdrom;
    return cdrom_slot && fits_a_cd(drive) ? DriveKind::cdrom : DriveKind::disk;
}

std::variant<SlotChoice, Refusal> choose_slot(const State& state, const Drive& drive, const Blade& blade,
                                              std::optional<int> asked, const Lease* own) {
    if (asked) {
        if (blade.slots.empty() && *asked >= protocol::most_slots) {
            return Refusal{404, fmt::format("no blade has a slot {}: there are {} at most, counted from 0", *asked,
                                            protocol::most_slots)};
        }
        if (!blade.slots.empty() && !blade.slots.contains(*asked)) {
            return Refusal{404, fmt::format("{} has no slot {}: it has slots 0 to {}", blade.name, *asked,
                                            blade.slots.rbegin()->first)};
        }
        if (const Lease* taken = occupant(state, blade, *asked, own)) {
            return Refusal{409, fmt::format("slot {} of {} is taken by {}; withdraw that first, or leave --slot away",
                                            *asked, blade.name, taken->drive)};
        }
        const auto kind = blade.slots.find(*asked);
        if (kind != blade.slots.end() && !kind_fits(drive, kind->second)) {
            return Refusal{409, kind_sentence(drive, blade, *asked)};
        }
        SlotChoice choice{*asked, {}};
        if (kind != blade.slots.end() && kind->second == DriveKind::disk && drive.kind == DriveKind::cdrom) {
            choice.notice = as_disk_notice(drive, *asked);
        }
        return choice;
    }
    if (own) {
        return SlotChoice{own->slot, own->notice};
    }
    if (blade.slots.empty()) {
        return Refusal{409,
                       fmt::format("{} has never connected, so its slots are not known; start drivebay-gadgetd there, "
                                   "or say which with --slot N",
                                   blade.name)};
    }
    for (const bool as_cdrom : {true, false}) {
        for (const auto& [slot, kind] : blade.slots) {
            if ((kind == DriveKind::cdrom) != as_cdrom || !kind_fits(drive, kind) ||
                occupant(state, blade, slot, own)) {
                continue;
            }
            SlotChoice choice{slot, {}};
            if (kind == DriveKind::disk && drive.kind == DriveKind::cdrom) {
                choice.notice = as_disk_notice(drive, slot);
            }
            return choice;
        }
    }
    std::string what_is_there;
    for (const auto& [slot, kind] : blade.slots) {
        const Lease* there = occupant(state, blade, slot, own);
        what_is_there += fmt::format("{}slot {} ({}) {}", what_is_there.empty() ? "" : ", ", slot, to_string(kind),
                                     there ? "has " + there->drive : "is free");
    }
    return Refusal{409, fmt::format("{} has no free slot for {}, a {}: {}; withdraw something from it first",
                                    blade.name, drive.name, to_string(drive.kind), what_is_there)};
}

}  // namespace drivebay::arbiter
