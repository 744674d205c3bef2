// What an event means for the slots: what was read back, and what came of an action.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "gadgetd/planner_step.h"
#include "lib/base/planted_bug.h"

namespace drivebay::gadgetd {

namespace {

std::string medium_name(const std::string& drive, Epoch epoch) {
    return fmt::format("{}@{}", drive, epoch);
}

// The kernel shows a file's path as it is mounted now, so a mount that was moved or detached changes its spelling but
// not its last part.
bool holds(const std::string& file, const Medium& medium) {
    std::string name = medium_name(medium.drive, medium.epoch);
    return file == medium.file || file == name || file.ends_with("/" + name);
}

std::optional<Medium> parse_medium(const std::string& file, const std::string& mount) {
    if (!file.starts_with(mount + "/")) {
        return std::nullopt;
    }
    std::optional<DriveReference> reference = parse_drive_reference(file.substr(mount.size() + 1));
    if (!reference || reference->epoch == 0 || reference->instance != 0) {
        return std::nullopt;
    }
    return Medium{reference->drive, reference->epoch, file};
}

Medium found_in_lun(Medium medium, const std::string& file) {
    medium.file = file;
    return medium;
}

void remember_eject(SlotPlan& slot) {
    if (!slot.last->by_host || slot.last->wish == 0) {
        return;
    }
    slot.put_out.push_back(*slot.last);
    if (slot.put_out.size() > ejects_kept) {
        slot.put_out.erase(slot.put_out.begin());
    }
}

}  // namespace

void PlannerStep::take(const DesiredArrived& event) {
    const protocol::Desired& desired = event.desired;
    const bool older = desired.term < plan_.term || (desired.term == plan_.term && desired.version < plan_.version);
    if (older && !planted(PlantedBug::older_desired_state_is_taken)) {
        return;  // late: a newer one is in force
    }
    plan_.term = desired.term;
    plan_.version = desired.version;
    plan_.wanted_known = true;
    for (const protocol::DesiredSlot& wanted : desired.slots) {
        if (!plan_.slots.contains(wanted.slot)) {
            SlotPlan missing;
            missing.exists = false;
            missing.inspected = true;
            missing.kind = wanted.kind;
            plan_.slots.emplace(wanted.slot, std::move(missing));
        }
    }
    for (auto& [id, slot] : plan_.slots) {
        auto listed = std::find_if(desired.slots.begin(), desired.slots.end(),
                                   [id = id](const protocol::DesiredSlot& wanted) { return wanted.slot == id; });
        std::optional<protocol::DesiredSlot> wanted;
        if (listed != desired.slots.end()) {
            wanted = *listed;
        }
        if (wanted != slot.wanted) {
            slot.wanted = wanted;
            slot.host_locked = false;
            settle(slot);
        }
    }
}

// Ends what the slot was busy with. Null: a slot that is gone.
SlotPlan* PlannerStep::finish(int id) {
    auto found = plan_.slots.find(id);
    if (found == plan_.slots.end()) {
        return nullptr;
    }
    found->second.busy = false;
    found->second.draining = false;
    found->second.stuck = false;
    return &found->second;
}

void PlannerStep::take(const Inspected& event) {
    if (SlotPlan* slot = finish(event.slot)) {
        read_back(event.slot, *slot, event.file);
    }
}

void PlannerStep::take(const Inserted& event) {
    SlotPlan* slot = finish(event.slot);
    if (slot == nullptr || !slot->inserting) {
        return;
    }
    Medium medium = *std::exchange(slot->inserting, std::nullopt);
    if (event.file.ok() && !event.file.value().empty() && holds(event.file.value(), medium) &&
        event.failure.code == 0) {
        slot->next_look = now_ + plan_.limits.poll_loaded;
        hold(event.slot, *slot, found_in_lun(medium, event.file.value()));
        return;
    }
    if (event.failure.code == 0 && event.file.ok() && event.file.value().empty()) {
        // Loaded, and put out by the host before it was read back.
        medium.file = plan_.mount + "/" + medium_name(medium.drive, medium.epoch);
        leave(event.slot, *slot, medium, true);
        return;
    }
    read_back(event.slot, *slot, event.file);
    if (event.file.ok() && event.file.value().empty()) {
        record(event.slot, *slot, Phase::none);
    }
    if (event.failure.code != 0) {
        fail(*slot, event.failure);
    }
}

void PlannerStep::take(const Ejected& event) {
    SlotPlan* slot = finish(event.slot);
    if (slot == nullptr) {
        return;
    }
    if (event.file.ok() && event.file.value().empty()) {
        settle(*slot);
        slot->foreign.clear();
        slot->host_locked = false;
        if (slot->medium) {
            const std::string why = event.policy && !event.was_empty ? slot->detach : "";
            leave(event.slot, *slot, *std::exchange(slot->medium, std::nullopt), event.was_empty || event.policy, why);
        } else {
            slot->empty_until = now_ + plan_.limits.least_empty;
        }
        return;
    }
    read_back(event.slot, *slot, event.file);
    if (event.failure.code == EBUSY && event.policy) {
        // A locked door: the host has it in use, however quiet it is.
        slot->detach.clear();
        slot->active_at = now_;
    } else if (event.failure.code == EBUSY && slot->wanted && slot->wanted->eject) {
        slot->host_locked = true;
        slot->not_before = now_ + plan_.limits.locked_retry;
    } else if (event.failure.code != 0) {
        fail(*slot, event.failure);
    }
}

void PlannerStep::take(const Drained& event) {
    SlotPlan* slot = finish(event.slot);
    if (slot == nullptr || !slot->leaving) {
        return;
    }
    using Kind = DrainAnswer::Kind;
    const DrainAnswer& answer = event.answer;
    Duration limit = answer.kind == Kind::unreachable ? plan_.limits.drain_unreachable : plan_.limits.drain;
    if (answer.kind != Kind::answered && now_ - slot->leaving_since < limit) {
        slot->not_before = now_ + plan_.limits.drain_retry;
        return;
    }
    Medium medium = *std::exchange(slot->leaving, std::nullopt);
    if (std::exchange(slot->in_doubt, false) && answer.kind == Kind::answered && !answer.opened) {
        // The daemon died before its insert: the host never had it.
        record(event.slot, *slot, Phase::none);
        return;
    }
    protocol::Outcome outcome = answer.kind == Kind::answered ? answer.outcome : protocol::Outcome::unknown;
    if (medium.file.empty() && answer.kind == Kind::answered && outcome == protocol::Outcome::unknown) {
        // It was never in the LUN, and drivebayfs never saw it: there was nothing to drain.
        outcome = protocol::Outcome::drained;
    }
    slot->last = protocol::LastMedium{medium.drive, medium.epoch, outcome, slot->leaving_by_host, medium.wish};
    remember_eject(*slot);
    slot->empty_until = slot->leaving_since + plan_.limits.least_empty;
    if (slot->medium) {
        record(event.slot, *slot, Phase::loaded, *slot->medium);
    } else {
        record(event.slot, *slot, Phase::none);
    }
}

void PlannerStep::take(const HostReset&) {
    for (auto& [id, slot] : plan_.slots) {
        if (slot.medium && plan_.limits.detach_on_reset.contains(id) &&
            now_ - slot.loaded_at >= plan_.limits.reset_after) {
            slot.detach = "the host has reset the USB device";
            slot.detach_by_force = true;
        }
    }
}

// What is not known is no idleness: a drivebayfs that does not answer, a source out of reach.
void PlannerStep::watch_traffic(int id, SlotPlan& slot, const SourcesSeen& event) {
    const auto moved = event.traffic.find({slot.medium->drive, slot.medium->epoch});
    if (moved == event.traffic.end() || slot.source != SourceState::online) {
        slot.active_at = now_;
        return;
    }
    if (slot.moved != moved->second) {
        slot.moved = moved->second;
        slot.active_at = now_;
    }
    if (plan_.limits.detach_on_idle.contains(id) && slot.detach.empty() &&
        now_ - slot.active_at >= plan_.limits.idle_after) {
        slot.detach = fmt::format("the host has neither read nor written for {} s",
                                  std::chrono::duration_cast<std::chrono::seconds>(plan_.limits.idle_after).count());
        slot.detach_by_force = false;
    }
}

void PlannerStep::take(const SourcesSeen& event) {
    for (auto& [id, slot] : plan_.slots) {
        if (slot.medium && !event.states) {
            slot.active_at = now_;
        }
        if (!slot.medium || !event.states) {
            slot.missing_since.reset();
            continue;
        }
        auto found = event.states->find({slot.medium->drive, slot.medium->epoch});
        if (found != event.states->end()) {
            slot.missing_since.reset();
            // What has ended has ended for ever.
            slot.source = slot.source == SourceState::ended ? SourceState::ended : found->second;
        } else if (event.asked_at > slot.loaded_at) {
            slot.missing_since = slot.missing_since.value_or(now_);
            if (now_ - *slot.missing_since >= plan_.limits.source_missing) {
                slot.source = SourceState::ended;
            }
        }
        watch_traffic(id, slot, event);
    }
}

// Holds what was read against what was known.
void PlannerStep::read_back(int id, SlotPlan& slot, const LunReading& file) {
    slot.next_look = now_ + plan_.limits.poll_loaded;
    slot.unreadable = file.ok() ? "" : file.error().message;
    if (!file.ok()) {
        return;
    }
    if (!slot.inspected) {
        slot.inspected = true;
        first_look(id, slot, file.value());
        return;
    }
    const std::string& name = file.value();
    if (slot.medium && !name.empty() && holds(name, *slot.medium)) {
        return;
    }
    if (slot.medium) {
        Medium gone = *std::exchange(slot.medium, std::nullopt);
        slot.host_locked = false;
        settle(slot);
        leave(id, slot, std::move(gone), name.empty());
    }
    if (name.empty()) {
        slot.foreign.clear();
        slot.next_look = now_ + plan_.limits.poll_empty;
    } else if (slot.journal.phase == Phase::inserting && holds(name, slot.journal.medium)) {
        // An insert that said it failed, or whose outcome could not be read, and yet came to pass.
        slot.foreign.clear();
        hold(id, slot, found_in_lun(slot.journal.medium, name));
    } else {
        slot.foreign = name;
    }
}

// Adoption: the LUN as it stands, held against the journal.
void PlannerStep::first_look(int id, SlotPlan& slot, const std::string& file) {
    const JournalEntry journal = slot.journal;
    bool noted = journal.phase != Phase::none;
    if (!file.empty() && noted && holds(file, journal.medium)) {
        hold(id, slot, found_in_lun(journal.medium, file));
        if (journal.since != Instant{} && journal.since < now_) {
            slot.loaded_at = journal.since;
            record(id, slot, Phase::loaded, *slot.medium);
        }
        return;
    }
    if (!file.empty()) {
        slot.medium = parse_medium(file, plan_.mount);
        slot.foreign = slot.medium ? "" : file;
        slot.loaded_at = now_;
        slot.active_at = now_;
    }
    if (journal.phase == Phase::loaded || journal.phase == Phase::leaving) {
        bool by_host = journal.phase == Phase::leaving ? journal.by_host : file.empty();
        leave(id, slot, journal.medium, by_host, journal.phase == Phase::leaving ? journal.why : "");
    } else if (slot.medium) {
        record(id, slot, Phase::loaded, *slot.medium);
    } else if (noted && file.empty() && planted(PlantedBug::eject_forgotten_at_restart)) {
        record(id, slot, Phase::none);
    } else if (noted && file.empty()) {
        // Either the insert never happened, or the host was faster than its record: drivebayfs knows.
        slot.in_doubt = true;
        slot.leaving = journal.medium;
        slot.leaving_by_host = true;
        slot.leaving_since = now_;
    } else if (noted) {
        record(id, slot, Phase::none);
    }
}

void PlannerStep::hold(int id, SlotPlan& slot, Medium medium) {
    slot.medium = std::move(medium);
    slot.loaded_at = now_;
    slot.active_at = now_;
    slot.moved.reset();
    slot.detach.clear();
    slot.why.clear();
    slot.source = SourceState::online;
    slot.missing_since.reset();
    settle(slot);
    record(id, slot, Phase::loaded, *slot.medium);
}

void PlannerStep::leave(int id, SlotPlan& slot, Medium medium, bool by_host, const std::string& why) {
    slot.why = why;
    slot.detach.clear();
    slot.source = SourceState::online;
    slot.missing_since.reset();
    slot.leaving_by_host = by_host;
    slot.leaving_since = now_;
    slot.not_before = now_;
    if (planted(PlantedBug::empty_file_taken_for_drained)) {
        slot.last = protocol::LastMedium{medium.drive, medium.epoch, protocol::Outcome::drained, by_host, medium.wish};
        return record(id, slot, Phase::none);
    }
    record(id, slot, Phase::leaving, medium, by_host);
    slot.leaving = std::move(medium);
    if (planted(PlantedBug::release_told_before_the_drain)) {
        const Medium& out = *slot.leaving;
        slot.last = protocol::LastMedium{out.drive, out.epoch, protocol::Outcome::unknown, by_host, out.wish};
    }
}

void PlannerStep::record(int id, SlotPlan& slot, Phase phase, const Medium& medium, bool by_host) {
    JournalEntry entry{phase, medium, by_host, slot.last, slot.put_out, slot.why, {}};
    if (phase == Phase::loaded) {
        entry.since = slot.loaded_at;
    }
    if (slot.exists && entry != slot.journal) {
        slot.journal = entry;
        actions.emplace_back(Record{id, std::move(entry)});
    }
}

void PlannerStep::fail(SlotPlan& slot, const Error& failure) {
    if (slot.failure.code == 0) {
        slot.failing_since = now_;
        slot.failure_told = false;
    }
    slot.failure = failure;
    slot.retry_after = slot.retry_after == Duration{}
                           ? plan_.limits.first_retry
                           : std::min<Duration>(slot.retry_after * 2, plan_.limits.last_retry);
    slot.not_before = now_ + slot.retry_after;
}

void PlannerStep::settle(SlotPlan& slot) {
    slot.failure = {};
    slot.failure_told = false;
    slot.retry_after = {};
    slot.not_before = std::min(slot.not_before, now_);
}

}  // namespace drivebay::gadgetd
