// The read side of the planner: what is reported, and when to come back.
#include <fmt/format.h>

#include <algorithm>

#include "gadgetd/gadget_planner.h"
#include "lib/base/shortened.h"
#include "lib/protocol/bounds.h"

namespace drivebay::gadgetd {

namespace {

using protocol::ObservedSlot;
using protocol::SlotState;

void describe_loaded(const SlotPlan& slot, ObservedSlot& report) {
    report.drive = slot.medium->drive;
    report.epoch = slot.medium->epoch;
    report.host_locked = slot.host_locked;
    report.state = SlotState::loaded;
    if (slot.source == SourceState::offline) {
        report.state = SlotState::offline;
        report.error = fmt::format("{} cannot be reached through the management module now", slot.medium->drive);
    }
}

void describe_empty(const SlotPlan& slot, ObservedSlot& report) {
    bool by_host = slot.leaving ? slot.leaving_by_host : slot.last && slot.last->by_host;
    report.state = by_host ? SlotState::ejected_by_host : SlotState::empty;
    if (by_host && !slot.why.empty()) {
        report.error = fmt::format("put out by this blade's policy: {}", slot.why);
    }
}

ObservedSlot describe(int id, const SlotPlan& slot, std::size_t existing) {
    ObservedSlot report;
    report.slot = id;
    report.kind = slot.kind;
    report.last = slot.last;
    if (slot.medium) {
        describe_loaded(slot, report);
    } else {
        describe_empty(slot, report);
    }
    if (!slot.exists) {
        report.state = SlotState::error;
        report.error =
            fmt::format("this blade's gadget has {} slots, counted from 0, so there is no slot {}", existing, id);
    } else if (!slot.inspected && !slot.stuck && slot.unreadable.empty()) {
        report.state = SlotState::offline;
        report.error = "the LUN has not been read yet";
    } else if (slot.stuck) {
        report.state = SlotState::offline;
        report.error = "the kernel does not answer for this LUN: a request to its medium hangs";
        if (!slot.siblings.empty()) {
            report.error += fmt::format(", or to that of a slot that shares its USB interface ({})", slot.siblings);
        }
    } else if (!slot.unreadable.empty()) {
        report.state = SlotState::error;
        report.error = slot.unreadable;
    } else if (slot.failure.code != 0 && slot.failure_told) {
        report.state = SlotState::error;
        report.error = slot.failure.message;
    } else if (!slot.foreign.empty()) {
        report.state = SlotState::error;
        report.error = fmt::format("the LUN holds {}, which drivebay did not put there", slot.foreign);
    }
    if (!slot.inspected && slot.journal.phase == JournalEntry::Phase::loaded) {
        report.drive = slot.journal.medium.drive;
        report.epoch = slot.journal.medium.epoch;
    } else if (report.state == SlotState::error && report.drive.empty() && slot.wanted) {
        report.drive = slot.wanted->drive;
        report.epoch = slot.wanted->epoch;
    }
    report.error = shortened(std::move(report.error), protocol::longest_sentence);
    return report;
}

// An insert that a newer desired state no longer wants is not over yet: to answer that state with "empty" would say
// that the medium never gets in.
bool is_overtaken(const SlotPlan& slot) {
    return slot.inserting && (!slot.wanted || slot.wanted->eject || slot.wanted->drive != slot.inserting->drive ||
                              slot.wanted->epoch != slot.inserting->epoch);
}

// Nor is what may have been in a host's hands over before its drain is: it may hold the host's writes.
bool is_unreleased(const SlotPlan& slot) {
    if (!slot.inspected) {
        return slot.journal.phase != JournalEntry::Phase::none;
    }
    return slot.leaving && (slot.in_doubt || !slot.leaving->file.empty());
}

}  // namespace

protocol::BladeObserved observed(const GadgetPlan& plan) {
    protocol::BladeObserved report;
    report.version = plan.version;
    auto existing =
        std::count_if(plan.slots.begin(), plan.slots.end(), [](const auto& entry) { return entry.second.exists; });
    for (const auto& [id, slot] : plan.slots) {
        if (id < protocol::most_slots) {
            report.slots.push_back(describe(id, slot, static_cast<std::size_t>(existing)));
        }
        if (is_overtaken(slot) || is_unreleased(slot)) {
            report.version = std::min(report.version, slot.inserting_for);
        }
    }
    return report;
}

bool all_seen(const GadgetPlan& plan) {
    return std::all_of(plan.slots.begin(), plan.slots.end(), [](const auto& entry) {
        return entry.second.inspected || entry.second.stuck || !entry.second.unreadable.empty();
    });
}

std::optional<Instant> next_deadline(const GadgetPlan& plan) {
    // The step at `stepped_at` has done all that was due by then.
    std::optional<Instant> next;
    auto consider = [&](Instant when) {
        if (when > plan.stepped_at && (!next || when < *next)) {
            next = when;
        }
    };
    for (const auto& [id, slot] : plan.slots) {
        if (slot.failure.code != 0 && !slot.failure_told) {
            consider(slot.failing_since + plan.limits.transient_failure);
        }
        if (slot.busy) {
            if (!slot.draining) {
                consider(slot.busy_since + plan.limits.stuck);
            }
            continue;
        }
        consider(slot.next_look);
        consider(slot.not_before);
        consider(slot.empty_until);
    }
    return next;
}

}  // namespace drivebay::gadgetd
