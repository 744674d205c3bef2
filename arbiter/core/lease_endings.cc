// How leases end: asked for (revoking), enforced (fencing), over (gone).
#include <fmt/format.h>

#include <algorithm>

#include "arbiter/core/step.h"
#include "lib/base/planted_bug.h"

namespace drivebay::arbiter {
namespace {

bool still_in_the_lun(const State& state, const Lease& lease) {
    const auto blade = state.blades.find(lease.blade);
    return blade != state.blades.end() && is_in_its_slot(blade->second.observed, lease);
}

bool door_locked(const State& state, const Lease& lease) {
    const auto blade = state.blades.find(lease.blade);
    const auto* slot = blade == state.blades.end() ? nullptr : observed_slot(blade->second.observed, lease.slot);
    return slot && slot->host_locked && is_in_its_slot(blade->second.observed, lease);
}

}  // namespace

void Step::revoke(Lease& lease, Ending ending, Instant deadline, LeaseId taker) {
    // Nobody has seen it yet: there is nothing to ask for.
    if (lease.state == LeaseState::granted) {
        fence(lease, ending, "it was ended before the blade had it");
        return;
    }
    lease.state = LeaseState::revoking;
    lease.ending = ending;
    lease.wanted = false;
    lease.taker = taker;
    lease.deadline = deadline;
    lease.drain_owed = false;
    lease.outcome.clear();
    changed(lease);
    desired_changed(lease.blade);
    if (const auto blade = state_.blades.find(lease.blade); blade != state_.blades.end()) {
        lease.asked_version = blade->second.version;
    }
    audit("revoking", lease, std::string(to_string(ending)));
}

void Step::cancel_revocation(Lease& lease, const std::string& sentence) {
    const LeaseId taker = std::exchange(lease.taker, 0);
    const LeaseId successor = std::exchange(lease.successor, 0);
    lease.state = LeaseState::held;
    lease.ending = Ending::none;
    lease.wanted = !is_local(lease);
    lease.outcome = sentence;
    changed(lease);
    desired_changed(lease.blade);
    audit("kept", lease, sentence);
    if (successor != 0 && state_.leases.contains(successor)) {
        Lease& next = state_.leases.at(successor);
        if (next.state == LeaseState::waiting) {
            // Who asked for just what it keeps has got it.
            next.successor = next.mode == lease.mode ? lease.id : 0;
            end_waiter(next, Ending::refused, sentence);
        }
    }
    if (taker != 0 && state_.leases.contains(taker)) {
        Lease& refused = state_.leases.at(taker);
        if (refused.state == LeaseState::waiting) {
            end_waiter(refused, Ending::refused, sentence);
        }
    }
}

void Step::drop_takeover(LeaseId taker) {
    for (auto& [id, lease] : state_.leases) {
        const bool for_taker = lease.taker == taker;
        const bool for_change = lease.successor == taker && lease.ending == Ending::changed;
        if (lease.state == LeaseState::revoking && (for_taker || for_change)) {
            cancel_revocation(lease, "whoever wanted it otherwise has left the queue");
        }
    }
}

void Step::fence(Lease& lease, Ending ending, const std::string& outcome) {
    if (lease.state == LeaseState::waiting) {
        end_waiter(lease, ending, outcome);
        return;
    }
    if (lease.state == LeaseState::fencing || is_gone(lease)) {
        return;
    }
    const bool visible = lease.state != LeaseState::granted;
    lease.state = LeaseState::fencing;
    lease.ending = ending;
    lease.wanted = false;
    lease.outcome = outcome;
    lease.fencing_since = now_;
    lease.unadmitted_since.reset();
    if (!planted(PlantedBug::fencing_not_stored)) {
        changed(lease);
    }
    table_changed();
    if (visible) {
        desired_changed(lease.blade);
    }
    audit("fencing", lease, fmt::format("{}: {}", to_string(ending), outcome));
}

void Step::end_waiter(Lease& lease, Ending ending, const std::string& outcome) {
    lease.ending = ending;
    lease.outcome = outcome;
    audit(ending == Ending::refused ? "refused" : "left-queue", lease, outcome);
    finish(lease);
    drop_takeover(lease.id);
}

void Step::finish(Lease& lease) {
    lease.state = LeaseState::gone;
    lease.wanted = false;
    changed(lease);
    state_.gone.push_back(lease.id);
    while (state_.gone.size() > gone_kept) {
        state_.leases.erase(state_.gone.front());
        state_.gone.pop_front();
    }
}

Lease& Step::succeed(Lease& lease, Mode mode, bool keep_place) {
    const std::int64_t place = lease.order;
    Lease& next = new_lease(lease.drive, lease.blade, mode, lease.slot);
    next.notice = lease.notice;
    next.wish = lease.wish;
    if (keep_place) {
        next.order = place;
    }
    lease.successor = next.id;
    changed(lease);
    return next;
}

void Step::expire_sessions() {
    for (auto& [name, blade] : state_.blades) {
        if (blade.live && now_ >= blade.deadline) {
            blade.live = false;
            blade.awaited = false;
            actions_.audit.push_back({.event = "session-expired", .blade = name});
        }
    }
    std::vector<LeaseId> ids;
    for (const auto& [id, lease] : state_.leases) {
        if (!is_local(lease) &&
            (lease.state == LeaseState::held || lease.state == LeaseState::revoking ||
             lease.state == LeaseState::granted) &&
            !state_.blades.at(lease.blade).live) {
            ids.push_back(id);
        }
    }
    for (const LeaseId id : ids) {
        Lease& lease = state_.leases.at(id);
        const std::string sentence = fmt::format(
            "{}'s session has expired: what its host had not written is lost, if there was any", lease.blade);
        if (lease.state == LeaseState::revoking) {
            fence(lease, lease.ending, sentence);
            continue;
        }
        // Expiry makes a lease takeable, no more: only somebody who is there and waits ends it.
        const bool waited_for =
            std::any_of(state_.leases.begin(), state_.leases.end(), [this, &lease](const auto& entry) {
                const Lease& other = entry.second;
                return other.state == LeaseState::waiting && other.drive == lease.drive && other.blade != lease.blade &&
                       !coexist(other.mode, lease.mode) && state_.blades.at(other.blade).live;
            });
        if (waited_for || planted(PlantedBug::expiry_needs_no_waiter)) {
            succeed(lease, lease.mode, false);
            fence(lease, Ending::expired, sentence);
        }
    }
}

void Step::expire_revocations() {
    std::vector<LeaseId> due;
    for (const auto& [id, lease] : state_.leases) {
        if (lease.state == LeaseState::revoking && now_ >= lease.deadline) {
            due.push_back(id);
        }
    }
    for (const LeaseId id : due) {
        Lease& lease = state_.leases.at(id);
        if (lease.state != LeaseState::revoking) {
            continue;
        }
        if (is_local(lease)) {
            cancel_revocation(lease,
                              fmt::format("{} is still open on the management module itself (drives/{}); close it "
                                          "there, or use --force, which ends it at once",
                                          lease.drive, lease.drive));
        } else if (lease.ending == Ending::refreshed) {
            // Readers only: nothing of theirs can be lost, and what they read is out of date.
            fence(lease, Ending::refreshed, "the host kept it, so it was put out by force");
        } else if (door_locked(state_, lease)) {
            cancel_revocation(lease,
                              fmt::format("{}'s host has locked the door (it is probably mounted there); eject it on "
                                          "the host, or use --force, which loses what the host has not written",
                                          lease.blade));
        } else if (still_in_the_lun(state_, lease) && state_.blades.at(lease.blade).connected) {
            cancel_revocation(lease,
                              fmt::format("{} has not put it out in time; ask again, or use --force, which loses "
                                          "what its host has not written",
                                          lease.blade));
        } else if (!lease.drain_owed) {
            // It is out and its drain goes on, or the blade cannot be asked: its report or its session's end decides.
            lease.drain_owed = true;
            lease.deadline = now_ + state_.timing.drain_patience;
        } else {
            audit("loss-unknown", lease, "the blade put it out and never told how its drain ended");
            fence(lease, lease.ending, "put out; whether all its host's writes arrived is unknown");
        }
    }
}

void Step::watch_fences() {
    for (auto& [id, lease] : state_.leases) {
        if (lease.state == LeaseState::fencing && !lease.stuck_told &&
            now_ >= lease.fencing_since + state_.timing.fence_patience) {
            lease.stuck_told = true;
            audit("fence-slow", lease,
                  state_.data_path_online ? "the data path has not said yet that nothing is in flight"
                                          : "the data path is not connected");
        }
    }
}

}  // namespace drivebay::arbiter
