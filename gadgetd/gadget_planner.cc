#include "gadgetd/gadget_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "lib/base/planted_bug.h"

namespace drivebay::gadgetd {

namespace {

using Phase = JournalEntry::Phase;

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

void remember_eject(SlotPlan& slot) {
    if (!slot.last->by_host || slot.last->wish == 0) {
        return;
    }
    slot.put_out.push_back(*slot.last);
    if (slot.put_out.size() > ejects_kept) {
        slot.put_out.erase(slot.put_out.begin());
    }
}

class Step {
public:
    Step(GadgetPlan& plan, Instant now) : plan_(plan), now_(now) {}

    void take(const LinkBegan&) { plan_.version = 0; }
    void take(const DesiredArrived& event);
    void take(const Inspected& event);
    void take(const Inserted& event);
    void take(const Ejected& event);
    void take(const Drained& event);
    void take(const SourcesSeen& event);
    void take(const HostReset&);
    void take(const Tick&) {}

    void plan_all();
    std::vector<GadgetAction> actions;

private:
    SlotPlan* finish(int slot);
    void read_back(int id, SlotPlan& slot, const LunReading& file);
    void first_look(int id, SlotPlan& slot, const std::string& file);
    void hold(int id, SlotPlan& slot, Medium medium);
    void leave(int id, SlotPlan& slot, Medium medium, bool by_host, const std::string& why = "");
    void watch_traffic(int id, SlotPlan& slot, const SourcesSeen& event);
    void record(int id, SlotPlan& slot, Phase phase, const Medium& medium = {}, bool by_host = false);
    void fail(SlotPlan& slot, const Error& failure);
    void settle(SlotPlan& slot);
    bool spent(const protocol::DesiredSlot& wanted) const;
    void tell_again(int id, SlotPlan& slot, const protocol::DesiredSlot& wanted);
    void plan_slot(int id, SlotPlan& slot);
    void plan_occupied(int id, SlotPlan& slot);
    void plan_empty(int id, SlotPlan& slot);
    void plan_missing(int id, SlotPlan& slot);
    template <class Action>
    void begin(SlotPlan& slot, Action action);

    GadgetPlan& plan_;
    Instant now_;
};

void Step::take(const DesiredArrived& event) {
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
SlotPlan* Step::finish(int id) {
    auto found = plan_.slots.find(id);
    if (found == plan_.slots.end()) {
        return nullptr;
    }
    found->second.busy = false;
    found->second.draining = false;
    found->second.stuck = false;
    return &found->second;
}

void Step::take(const Inspected& event) {
    if (SlotPlan* slot = finish(event.slot)) {
        read_back(event.slot, *slot, event.file);
    }
}

void Step::take(const Inserted& event) {
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

void Step::take(const Ejected& event) {
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

void Step::take(const Drained& event) {
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

void Step::take(const HostReset&) {
    for (auto& [id, slot] : plan_.slots) {
        if (slot.medium && plan_.limits.detach_on_reset.contains(id) &&
            now_ - slot.loaded_at >= plan_.limits.reset_after) {
            slot.detach = "the host has reset the USB device";
            slot.detach_by_force = true;
        }
    }
}

// What is not known is no idleness: a drivebayfs that does not answer, a source out of reach.
void Step::watch_traffic(int id, SlotPlan& slot, const SourcesSeen& event) {
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

void Step::take(const SourcesSeen& event) {
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
void Step::read_back(int id, SlotPlan& slot, const LunReading& file) {
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
void Step::first_look(int id, SlotPlan& slot, const std::string& file) {
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

void Step::hold(int id, SlotPlan& slot, Medium medium) {
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

void Step::leave(int id, SlotPlan& slot, Medium medium, bool by_host, const std::string& why) {
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

void Step::record(int id, SlotPlan& slot, Phase phase, const Medium& medium, bool by_host) {
    JournalEntry entry{phase, medium, by_host, slot.last, slot.put_out, slot.why, {}};
    if (phase == Phase::loaded) {
        entry.since = slot.loaded_at;
    }
    if (slot.exists && entry != slot.journal) {
        slot.journal = entry;
        actions.emplace_back(Record{id, std::move(entry)});
    }
}

void Step::fail(SlotPlan& slot, const Error& failure) {
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

void Step::settle(SlotPlan& slot) {
    slot.failure = {};
    slot.failure_told = false;
    slot.retry_after = {};
    slot.not_before = std::min(slot.not_before, now_);
}

// Released, on its way to that, or in a slot: such an epoch is not for an empty slot. Nor is a medium of any epoch that
// the host has put out since it was wished for: the arbiter may not know of that yet.
bool Step::spent(const protocol::DesiredSlot& wanted) const {
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
void Step::tell_again(int id, SlotPlan& slot, const protocol::DesiredSlot& wanted) {
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
void Step::begin(SlotPlan& slot, Action action) {
    slot.busy = true;
    slot.busy_since = now_;
    slot.draining = std::is_same_v<Action, Drain>;
    actions.emplace_back(std::move(action));
}

void Step::plan_all() {
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

void Step::plan_slot(int id, SlotPlan& slot) {
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

void Step::plan_occupied(int id, SlotPlan& slot) {
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

void Step::plan_empty(int id, SlotPlan& slot) {
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

void Step::plan_missing(int id, SlotPlan& slot) {
    if (slot.wanted->eject && !spent(*slot.wanted)) {
        leave(id, slot, Medium{slot.wanted->drive, slot.wanted->epoch, "", slot.wanted->wish}, false);
        plan_slot(id, slot);
    }
}

}  // namespace

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
    Step taken(plan, now);
    std::visit([&](const auto& value) { taken.take(value); }, event);
    taken.plan_all();
    plan.stepped_at = now;
    return std::move(taken.actions);
}

}  // namespace drivebay::gadgetd
