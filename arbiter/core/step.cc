#include "arbiter/core/step.h"

#include <algorithm>

#include "lib/base/planted_bug.h"

namespace drivebay::arbiter {

Actions step(State& state, const Event& event) {
    Actions actions;
    Step work(state, event.now, event.wall_ms, actions);
    if (const auto* renewed = std::get_if<BladeRenewed>(&event.what)) {
        // By far the most frequent event: a live session that goes on living makes nothing possible.
        const auto blade = state.blades.find(renewed->blade);
        if (blade != state.blades.end() && blade->second.live) {
            work.handle(*renewed);
            return actions;
        }
    }
    std::visit([&work](const auto& what) { work.handle(what); }, event.what);
    // What time and freed drives make possible besides is nobody's doing.
    for (AuditEntry& entry : actions.audit) {
        entry.by = event.by;
    }
    work.settle();
    return actions;
}

std::optional<Instant> next_deadline(const State& state) {
    std::optional<Instant> next;
    const auto consider = [&next](Instant instant) { next = next ? std::min(*next, instant) : instant; };
    for (const auto& [name, blade] : state.blades) {
        if (blade.live) {
            consider(blade.deadline);
        }
    }
    for (const auto& [id, lease] : state.leases) {
        if (lease.state == LeaseState::revoking) {
            consider(lease.deadline);
        }
        if (lease.state == LeaseState::fencing && !lease.stuck_told) {
            consider(lease.fencing_since + state.timing.fence_patience);
        }
        if (lease.unadmitted_since) {
            consider(*lease.unadmitted_since + state.timing.admit_patience);
        }
    }
    if (state.rival_term > state.term) {
        consider(state.rival_since + state.timing.ttl);
    }
    return next;
}

void Step::handle(const Started&) {
    state_.sure_term = state_.term;
    state_.table_version = first_version(state_.term);
    for (auto& [name, blade] : state_.blades) {
        blade.version = first_version(state_.term);
        // A stored holder gets one TTL to come back before anybody may take what it holds.
        blade.live = !blade.session.empty();
        blade.deadline = now_ + state_.timing.ttl;
    }
    for (auto& [id, lease] : state_.leases) {
        state_.last_lease = std::max(state_.last_lease, id);
        state_.last_order = std::max(state_.last_order, lease.order);
        state_.first_order = std::min(state_.first_order, lease.order);
        if (is_active(lease) && !is_local(lease)) {
            Blade& holder = state_.blades.at(lease.blade);
            holder.awaited = holder.live;
        }
        if (lease.state == LeaseState::revoking) {
            lease.deadline =
                now_ + (lease.ending == Ending::taken ? state_.timing.take_deadline : state_.timing.withdraw_deadline);
            lease.asked_version = first_version(state_.term);
        }
        if (lease.state == LeaseState::fencing) {
            lease.fencing_since = now_;
        }
    }
    actions_.audit.push_back({.event = "arbiter-started", .detail = "term " + std::to_string(state_.term)});
}

void Step::settle() {
    watch_rival();
    // First: a waiter who is refused now is no reason to end an expired lease.
    expire_revocations();
    expire_sessions();
    requeue_unadmitted();
    watch_fences();
    grant_waiters();
}

void Step::audit(std::string event, const Lease& lease, std::string detail) {
    actions_.audit.push_back({.event = std::move(event),
                              .drive = lease.drive,
                              .blade = lease.blade,
                              .lease = lease.id,
                              .epoch = lease.epoch,
                              .mode = std::string(to_string(lease.mode)),
                              .detail = std::move(detail)});
}

void Step::table_changed() {
    if (!actions_.table) {
        actions_.table = true;
        ++state_.table_version;
    }
}

void Step::desired_changed(const std::string& blade) {
    const auto found = state_.blades.find(blade);
    // Before the data path has told its floors and taken this term nobody knows whether this store is up to date, so no
    // blade is told anything; then all are.
    if (state_.data_path_obeys && found != state_.blades.end() && actions_.desired.insert(blade).second) {
        ++found->second.version;
    }
}

Lease* find_presented(State& state, const std::string& drive, const std::string& blade) {
    Lease* found = nullptr;
    for (auto& [id, lease] : state.leases) {
        if (lease.drive != drive || lease.blade != blade) {
            continue;
        }
        if (lease.state == LeaseState::waiting) {
            return &lease;
        }
        if (is_active(lease)) {
            found = &lease;
        }
    }
    return found;
}

Lease* find_by_epoch(State& state, const std::string& drive, const std::string& blade, Epoch epoch) {
    for (auto& [id, lease] : state.leases) {
        const bool same_epoch =
            lease.epoch == epoch || (planted(PlantedBug::release_without_epoch) && lease.epoch != 0);
        if (same_epoch && lease.drive == drive && lease.blade == blade && !is_gone(lease) && epoch != 0) {
            return &lease;
        }
    }
    return nullptr;
}

const protocol::ObservedSlot* observed_slot(const protocol::BladeObserved& observed, int slot) {
    for (const auto& candidate : observed.slots) {
        if (candidate.slot == slot) {
            return &candidate;
        }
    }
    return nullptr;
}

bool is_in_its_slot(const protocol::BladeObserved& observed, const Lease& lease) {
    const auto* slot = observed_slot(observed, lease.slot);
    return slot && slot->drive == lease.drive && slot->epoch == lease.epoch;
}

}  // namespace drivebay::arbiter
