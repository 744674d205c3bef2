// What blades say: sessions that live on renewals, and what is really in their slots.
#include <fmt/format.h>

#include <algorithm>

#include "arbiter/core/refusals.h"
#include "arbiter/core/step.h"
#include "lib/base/planted_bug.h"
#include "lib/protocol/bounds.h"

namespace drivebay::arbiter {
namespace {

// Every slot of a blade may fail at once, and be told twice.
constexpr std::uint64_t most_told = 2 * protocol::most_slots;
constexpr Duration told_within = std::chrono::seconds(10);

}  // namespace

void Step::handle(const BladeArrived& arrived) {
    const auto& hello = arrived.hello;
    const auto found = state_.blades.find(hello.blade);
    if (found == state_.blades.end()) {
        actions_.refusal = no_such_blade(state_, hello.blade);
        actions_.refusal->message +=
            fmt::format("; to make it known, type on the management module: drivebay blade add {}", hello.blade);
        return;
    }
    Blade& blade = found->second;
    if (hello.term > state_.term) {
        heed_term(blade, hello.term);
        if (actions_.refusal) {
            return;
        }
    }
    const bool first = blade.session.empty();
    if (!first && blade.boot_id != hello.boot_id && !planted(PlantedBug::session_survives_reboot)) {
        end_former_boot(blade);
    }
    // Of the same boot, but without the id: what gadgetd adopted is still ours to name.
    if (first || blade.boot_id != hello.boot_id || blade.session != hello.session) {
        blade.session = arrived.fresh_session;
        blade.boot_id = hello.boot_id;
        actions_.changes.blades.insert(blade.name);
    }
    if (!blade.connected) {
        actions_.audit.push_back({.event = "blade-online", .blade = blade.name});
    }
    blade.connected = true;
    blade.live = true;
    blade.awaited = false;
    blade.deadline = now_ + state_.timing.ttl;
    actions_.welcome = protocol::Welcome{
        blade.session, state_.term, std::chrono::duration_cast<std::chrono::milliseconds>(state_.timing.ttl).count()};
    for (auto& [id, lease] : state_.leases) {
        // A blade that could not be asked can be asked now.
        if (lease.blade == blade.name && lease.state == LeaseState::revoking && lease.drain_owed) {
            lease.drain_owed = false;
            lease.deadline = now_ + state_.timing.withdraw_deadline;
        }
    }
    desired_changed(blade.name);
    observe(blade, hello.observed, false);
}

void Step::heed_term(Blade& blade, Term heard) {
    if (heard - state_.sure_term >= highest_leap) {
        refuse(403, fmt::format("{} tells of an arbiter of term {}, and this one is of term {}: no arbiter has started "
                                "so often since, so it is not believed; restart that blade's service processor, which "
                                "forgets terms, if the blade is to be trusted",
                                blade.name, heard, state_.term));
        return;
    }
    if (!state_.data_path_online) {
        if (heard > state_.rival_term) {
            state_.rival_term = heard;
            state_.rival_since = now_;
        }
        refuse(409, fmt::format("{} has heard an arbiter of term {}, and this one is of term {}: either its store was "
                                "lost or rolled back, and it goes above that when the data path connects, or the "
                                "other one is there still, and this one ends",
                                blade.name, heard, state_.term));
        return;
    }
    // Each time all that blades and the data path have heard is to be said again.
    if (blade.raised_term && now_ < *blade.raised_term + state_.timing.ttl) {
        refuse(409, fmt::format("{} has told of a higher term a moment ago already, and tells of term {} now; it is heard "
                                "again when a session's time is over",
                                blade.name, heard));
        return;
    }
    // The data path obeys this one, so this one leads.
    blade.raised_term = now_;
    raise_term(heard);
}

void Step::end_former_boot(const Blade& blade) {
    actions_.audit.push_back({.event = "blade-rebooted", .blade = blade.name});
    std::vector<LeaseId> held;
    for (const auto& [id, lease] : state_.leases) {
        // Also what seems to have just been granted: where the store was rolled back, it may have been held for long.
        if (lease.blade == blade.name && is_active(lease)) {
            held.push_back(id);
        }
    }
    for (const LeaseId id : held) {
        Lease& lease = state_.leases.at(id);
        if (lease.wanted) {
            succeed(lease, lease.mode, false);
        }
        fence(lease, lease.ending == Ending::none ? Ending::rebooted : lease.ending,
              fmt::format(
                  "{}'s service processor came back with another boot id: what its host had not written is lost, if "
                  "there was any",
                  blade.name));
    }
}

void Step::handle(const BladeReported& report) {
    const auto found = state_.blades.find(report.blade);
    if (found != state_.blades.end()) {
        observe(found->second, report.observed, report.observed.version >= first_version(state_.term));
    }
}

void Step::handle(const BladeRenewed& renewed) {
    const auto found = state_.blades.find(renewed.blade);
    const Instant until = renewed.since + state_.timing.ttl;
    if (found != state_.blades.end() && until > now_) {
        found->second.live = true;
        found->second.deadline = std::max(found->second.deadline, until);
    }
}

void Step::handle(const BladeLeft& left) {
    const auto found = state_.blades.find(left.blade);
    if (found != state_.blades.end() && found->second.connected) {
        found->second.connected = false;
        actions_.audit.push_back({.event = "blade-offline", .blade = left.blade});
    }
}

void Step::observe(Blade& blade, const protocol::BladeObserved& observed, bool answers_our_version) {
    const protocol::BladeObserved before = std::exchange(blade.observed, observed);
    std::map<int, DriveKind> slots;
    for (const auto& slot : observed.slots) {
        slots[slot.slot] = slot.kind;
    }
    if (!slots.empty() && slots != blade.slots) {
        blade.slots = std::move(slots);
        actions_.changes.blades.insert(blade.name);
    }
    for (const auto& slot : observed.slots) {
        const auto* was = observed_slot(before, slot.slot);
        Lease* lease = slot.drive.empty() ? nullptr : find_by_epoch(state_, slot.drive, blade.name, slot.epoch);
        if (!was || was->state != slot.state || was->drive != slot.drive || was->epoch != slot.epoch) {
            // What was so before this run has been so since its grant.
            blade.slots_since_ms[slot.slot] = !was && lease && lease->seen_loaded ? lease->since_ms : wall_ms_;
        }
        const bool loaded = slot.state == protocol::SlotState::loaded || slot.state == protocol::SlotState::offline;
        if (lease && loaded && !lease->seen_loaded) {
            lease->seen_loaded = true;
            changed(*lease);
            audit("loaded", *lease);
        }
        if (slot.state == protocol::SlotState::error && (!was || was->error != slot.error)) {
            tell_error(blade, slot);
        }
        if (!slot.last) {
            continue;
        }
        Lease* ended = find_by_epoch(state_, slot.last->drive, blade.name, slot.last->epoch);
        if (ended && is_active(*ended)) {
            released(*ended, *slot.last);
        } else if (was && was->last != slot.last && may_tell(blade)) {
            // Told late, by a blade that was fenced while it was away or thrown out by force.
            report_loss(blade.name, *slot.last);
        }
        if (slot.last->by_host) {
            consume_wish(blade.name, *slot.last);
        }
    }
    if (!answers_our_version) {
        return;
    }
    std::vector<LeaseId> never_loaded;
    for (const auto& [id, lease] : state_.leases) {
        if (lease.blade == blade.name && lease.state == LeaseState::revoking && !lease.seen_loaded &&
            (observed.version >= lease.asked_version || planted(PlantedBug::old_report_ends_a_revocation)) &&
            !is_in_its_slot(observed, lease)) {
            never_loaded.push_back(id);
        }
    }
    for (const LeaseId id : never_loaded) {
        Lease& lease = state_.leases.at(id);
        fence(lease, lease.ending, "no host ever had it");
    }
}

bool Step::may_tell(Blade& blade) {
    if (now_ >= blade.told_since + told_within) {
        blade.told_since = now_;
        blade.told = 0;
    }
    if (blade.told >= most_told) {
        ++blade.untold;
        return false;
    }
    ++blade.told;
    return true;
}

void Step::tell_error(Blade& blade, const protocol::ObservedSlot& slot) {
    if (!may_tell(blade)) {
        return;
    }
    std::string detail = fmt::format("slot {}: {}", slot.slot, slot.error);
    if (const std::uint64_t more = std::exchange(blade.untold, 0); more > 0) {
        detail += fmt::format("; {} more things were told of its slots before, too fast to stand here", more);
    }
    actions_.audit.push_back({.event = "slot-error",
                              .drive = slot.drive,
                              .blade = blade.name,
                              .epoch = slot.epoch,
                              .detail = std::move(detail)});
}

void Step::report_loss(const std::string& blade, const protocol::LastMedium& last) {
    AuditEntry entry{.drive = last.drive, .blade = blade, .epoch = last.epoch};
    Mode mode = Mode::write;
    for (const auto& [id, lease] : state_.leases) {
        if (lease.drive == last.drive && lease.blade == blade && lease.epoch == last.epoch) {
            entry.lease = id;
            mode = lease.mode;
        }
    }
    entry.mode = to_string(mode);
    if (last.outcome == protocol::Outcome::lost) {
        entry.event = "lost";
        entry.detail = "the blade lost writes that it had taken from its host and not yet passed on";
        actions_.audit.push_back(std::move(entry));
    } else if (last.outcome == protocol::Outcome::unknown && mode == Mode::write) {
        entry.event = "loss-unknown";
        entry.detail = "the blade could not tell whether all that its host wrote has arrived";
        actions_.audit.push_back(std::move(entry));
    }
}

// A host's eject consumes the presentation, also where that has got another epoch since (the session expired, the drive
// was refreshed, …) and the blade tells of the eject only now. What the operator asked for after it was presented
// (other access, or again after a withdrawal) is a wish of its own and stays.
void Step::consume_wish(const std::string& blade, const protocol::LastMedium& last) {
    if (planted(PlantedBug::wish_survives_the_hosts_eject)) {
        return;
    }
    std::uint64_t wish = last.wish;
    std::vector<LeaseId> heirs;
    for (const auto& [id, lease] : state_.leases) {
        if (lease.drive == last.drive && lease.blade == blade) {
            if (wish == 0 && lease.epoch == last.epoch) {
                wish = lease.wish;
            }
            if (!is_gone(lease) && lease.state != LeaseState::fencing && lease.wish == wish && wish != 0) {
                heirs.push_back(id);
            }
        }
    }
    for (const LeaseId id : heirs) {
        fence(state_.leases.at(id), Ending::ejected, "the host put it out");
    }
}

void Step::released(Lease& lease, const protocol::LastMedium& last) {
    std::string outcome =
        fmt::format("put out{}; {}", last.by_host ? " by the host" : "",
                    last.outcome == protocol::Outcome::drained ? "all that was written is on the drive"
                    : last.outcome == protocol::Outcome::lost  ? "writes of its host were lost"
                                                               : "whether all its host's writes arrived is unknown");
    report_loss(lease.blade, last);
    if (last.by_host) {
        audit("ejected-by-host", lease, outcome);
        if (planted(PlantedBug::hosts_eject_is_re_presented)) {
            succeed(lease, lease.mode, false).wish = 0;
        }
        fence(lease, lease.ending == Ending::none ? Ending::ejected : lease.ending, outcome);
        return;
    }
    if (lease.state == LeaseState::revoking) {
        fence(lease, lease.ending, outcome);
        return;
    }
    succeed(lease, lease.mode, false);
    fence(lease, Ending::dropped, outcome);
}

}  // namespace drivebay::arbiter
