#include "gadgetd/gadget_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <type_traits>

#include "gadgetd/planner_step.h"
#include "lib/base/planted_bug.h"

namespace drivebay::gadgetd {

namespace {

// Failures that come and go with the network or with the order in which machines start.
bool may_pass(int code) {
    switch (code) {
        case ENOENT:
        case ENOTCONN:
        case ECONNABORTED:
        case EHOSTUNREACH:
        case ESHUTDOWN:
        case ETIMEDOUT:
        case EAGAIN:
        case EIO: return true;
        default: return false;
    }
}

// Why a drive cannot be shown in a slot of this kind at all. What a LUN is (SCSI device type) was told to the host when
// it enumerated the gadget, so the slot's kind decides, not the drive's.
std::optional<Error> misfit(int id, DriveKind kind, const protocol::DesiredSlot& wanted) {
    if (kind == DriveKind::disk) {
        return std::nullopt;
    }
    if (wanted.kind == DriveKind::disk) {
        return Error{EINVAL, fmt::format("slot {} is a CD-ROM slot and {} is a disk: present it in a disk slot", id,
                                         wanted.drive)};
    }
    if (wanted.access == Mode::write) {
        return Error{EROFS, fmt::format("slot {} is a CD-ROM slot: {} can only be read there", id, wanted.drive)};
    }
    if (wanted.size > largest_cdrom) {
        return Error{EFBIG, fmt::format("{} has {} bytes and a USB CD-ROM ends at {}: present it in a disk slot",
                                        wanted.drive, wanted.size, largest_cdrom)};
    }
    return std::nullopt;
}

bool is_for(const protocol::LastMedium& medium, const protocol::DesiredSlot& wanted) {
    return medium.by_host && wanted.wish != 0 && medium.wish == wanted.wish && medium.drive == wanted.drive;
}

}  // namespace

// Released, on its way to that, or in a slot: such an epoch is not for an empty slot. Nor is a medium of any epoch that
// the host has put out since it was wished for: the arbiter may not know of that yet.
bool PlannerStep::spent(const protocol::DesiredSlot& wanted) const {
    auto is_it = [&](const auto& medium) {
        return medium && medium->drive == wanted.drive && medium->epoch >= wanted.epoch;
    };
    if (planted(PlantedBug::spent_epoch_is_inserted)) {
        return false;
    }
    return std::any_of(plan_.slots.begin(), plan_.slots.end(), [&](const auto& entry) {
        const SlotPlan& slot = entry.second;
        const bool put_out = (slot.last && is_for(*slot.last, wanted)) ||
                             std::any_of(slot.put_out.begin(), slot.put_out.end(),
                                         [&](const auto& medium) { return is_for(medium, wanted); });
        return put_out || is_it(slot.last) || is_it(slot.leaving) || is_it(slot.medium) || is_it(slot.inserting);
    });
}

// An arbiter asks for what the host put out before the last medium: it has not heard of that eject, or its store was
// rolled back since. It would wait for the medium for ever, so `last` becomes that one again.
void PlannerStep::tell_again(int id, SlotPlan& slot, const protocol::DesiredSlot& wanted) {
    const protocol::LastMedium* untold = nullptr;
    for (const auto& [other_id, other] : plan_.slots) {
        if (other.last && is_for(*other.last, wanted)) {
            return;
        }
        for (const protocol::LastMedium& medium : other.put_out) {
            untold = is_for(medium, wanted) ? &medium : untold;
        }
    }
    if (untold != nullptr) {
        slot.last = *untold;
        record(id, slot, Phase::none);
    }
}

template <class Action>
void PlannerStep::begin(SlotPlan& slot, Action action) {
    slot.busy = true;
    slot.busy_since = now_;
    slot.draining = std::is_same_v<Action, Drain>;
    actions.emplace_back(std::move(action));
}

void PlannerStep::plan_all() {
    for (auto at = plan_.slots.begin(); at != plan_.slots.end();) {
        SlotPlan& slot = at->second;
        if (slot.busy && !slot.draining && now_ - slot.busy_since >= plan_.limits.stuck) {
            slot.stuck = true;
        }
        if (slot.failure.code != 0 &&
            (!may_pass(slot.failure.code) || now_ - slot.failing_since >= plan_.limits.transient_failure)) {
            slot.failure_told = true;
        }
        if (!slot.exists && !slot.wanted && !slot.busy) {
            at = plan_.slots.erase(at);
            continue;
        }
        if (!slot.busy) {
            plan_slot(at->first, slot);
        }
        ++at;
    }
}

void PlannerStep::plan_slot(int id, SlotPlan& slot) {
    if (!slot.inspected) {
        if (now_ >= slot.next_look) {
            begin(slot, Inspect{id});
        }
    } else if (slot.leaving) {
        if (now_ >= slot.not_before) {
            Duration left = plan_.limits.drain - (now_ - slot.leaving_since);
            begin(slot, Drain{id, slot.leaving->drive, slot.leaving->epoch,
                              std::max<Duration>(left, std::chrono::milliseconds(100))});
        }
    } else if (!slot.exists) {
        plan_missing(id, slot);
    } else if (!slot.unreadable.empty()) {
        // Nothing is done to a LUN whose state is not known; it is read again below.
    } else if (slot.medium || !slot.foreign.empty()) {
        plan_occupied(id, slot);
    } else {
        plan_empty(id, slot);
    }
    if (!slot.busy && slot.exists && slot.inspected && !slot.leaving && now_ >= slot.next_look) {
        begin(slot, Inspect{id});
    }
}

void PlannerStep::plan_occupied(int id, SlotPlan& slot) {
    if (!plan_.wanted_known || now_ < slot.not_before) {
        return;
    }
    bool same = slot.medium && slot.wanted && slot.wanted->drive == slot.medium->drive &&
                slot.wanted->epoch == slot.medium->epoch;
    if (!same || slot.source == SourceState::ended) {
        begin(slot, Eject{id, true});
    } else if (slot.wanted->eject) {
        begin(slot, Eject{id, false});
    } else if (!slot.detach.empty()) {
        begin(slot, Eject{id, slot.detach_by_force, true});
    }
}

void PlannerStep::plan_empty(int id, SlotPlan& slot) {
    if (!slot.wanted || spent(*slot.wanted)) {
        if (slot.failure.code != 0) {
            settle(slot);
        }
        if (slot.wanted) {
            tell_again(id, slot, *slot.wanted);
        }
        return;
    }
    const protocol::DesiredSlot& wanted = *slot.wanted;
    if (wanted.eject) {
        // It never got in, yet its release is waited for: drivebayfs may hold something of an attempt.
        leave(id, slot, Medium{wanted.drive, wanted.epoch, "", wanted.wish}, false);
        plan_slot(id, slot);
        return;
    }
    if (std::optional<Error> refusal = misfit(id, slot.kind, wanted)) {
        slot.failure = *refusal;
        slot.failure_told = true;
        return;
    }
    if (now_ < slot.not_before || now_ < slot.empty_until) {
        return;
    }
    slot.inserting = Medium{wanted.drive, wanted.epoch, "", wanted.wish};
    slot.inserting_for = plan_.version;
    record(id, slot, Phase::inserting, *slot.inserting);
    bool cdrom = slot.kind == DriveKind::cdrom;
    begin(slot, Insert{id, wanted.drive, wanted.epoch, cdrom, cdrom || wanted.access == Mode::read});
}

void PlannerStep::plan_missing(int id, SlotPlan& slot) {
    if (slot.wanted->eject && !spent(*slot.wanted)) {
        leave(id, slot, Medium{slot.wanted->drive, slot.wanted->epoch, "", slot.wanted->wish}, false);
        plan_slot(id, slot);
    }
}

void add_slot(GadgetPlan& plan, int id, DriveKind kind, JournalEntry journal) {
    SlotPlan slot;
    slot.kind = kind;
    slot.last = journal.last;
    slot.put_out = journal.put_out;
    slot.why = journal.why;
    slot.journal = std::move(journal);
    plan.slots.insert_or_assign(id, std::move(slot));
}

std::vector<GadgetAction> step(GadgetPlan& plan, Instant now, const GadgetEvent& event) {
    PlannerStep taken(plan, now);
    std::visit([&](const auto& value) { taken.take(value); }, event);
    taken.plan_all();
    plan.stepped_at = now;
    return std::move(taken.actions);
}

}  // namespace drivebay::gadgetd
