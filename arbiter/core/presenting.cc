// What operators ask for: a drive presented to blades, or withdrawn from them. A request that names several blades is
// entered for all of them or for none: it is planned first, and carried out only when nothing speaks against it.
#include <fmt/format.h>

#include <algorithm>

#include "arbiter/core/refusals.h"
#include "arbiter/core/slot_choice.h"
#include "arbiter/core/step.h"

namespace drivebay::arbiter {

struct Step::Plan {
    std::string blade;
    LeaseId existing = 0;    // has just that access already, or waits for it
    LeaseId replaced = 0;    // other access, or on its way out: the new lease follows it
    bool end_first = false;  // the replaced one is still to be ended
    SlotChoice slot;
};

std::optional<Refusal> Step::list_blades(const std::vector<std::string>& named,
                                         std::vector<std::string>& blades) const {
    for (const std::string& blade : named) {
        if (!state_.blades.contains(blade)) {
            return no_such_blade(state_, blade);
        }
        if (std::find(blades.begin(), blades.end(), blade) == blades.end()) {
            blades.push_back(blade);
        }
    }
    return std::nullopt;
}

std::optional<Refusal> Step::plan(const Present& request, const std::string& blade_name,
                                  std::vector<Plan>& plans) const {
    const Drive& drive = state_.drives.at(request.drive);
    const Blade& blade = state_.blades.at(blade_name);
    Plan plan;
    plan.blade = blade_name;
    const Lease* present = find_presented(state_, request.drive, blade_name);
    const bool ending = present && present->state == LeaseState::revoking;
    if (present && !ending && present->mode == request.access) {
        if (request.slot && *request.slot != present->slot) {
            return Refusal{409, fmt::format("{} is presented to {} in slot {} already; withdraw it first to move it",
                                            request.drive, blade_name, present->slot)};
        }
        plan.existing = present->id;
        plan.slot.slot = present->slot;
        plans.push_back(std::move(plan));
        return std::nullopt;
    }
    if (present) {
        plan.replaced = present->id;
        plan.end_first = !ending;
    }
    auto choice = choose_slot(state_, drive, blade, request.slot, present);
    if (auto* refusal = std::get_if<Refusal>(&choice)) {
        return std::move(*refusal);
    }
    plan.slot = std::move(std::get<SlotChoice>(choice));
    plans.push_back(std::move(plan));
    return std::nullopt;
}

// For --no-queue: whatever would make one of the planned leases wait makes the whole request refused.
std::optional<Refusal> Step::refuse_to_wait(const Present& request, const std::vector<Plan>& plans) const {
    if (const std::string hindered = hindrance(state_, request.drive); !hindered.empty()) {
        return Refusal{503, fmt::format("{} cannot be presented now: {}", request.drive, hindered)};
    }
    const auto wanting = std::count_if(plans.begin(), plans.end(), [this](const Plan& plan) {
        return plan.existing == 0 || !is_active(state_.leases.at(plan.existing));
    });
    if (request.access == Mode::write && plans.size() > 1 && wanting > 0) {
        return Refusal{409, "write access can be given to one blade at a time; name one, or leave --no-queue away"};
    }
    for (const Plan& plan : plans) {
        if (plan.existing != 0 && is_active(state_.leases.at(plan.existing))) {
            continue;
        }
        Lease wish;
        if (plan.existing != 0) {
            wish = state_.leases.at(plan.existing);
        } else {
            wish.drive = request.drive;
            wish.blade = plan.blade;
            wish.mode = request.access;
            wish.order = state_.last_order + 1;
        }
        const std::vector<Holder> holders = behind(state_, wish);
        if (!holders.empty()) {
            return Refusal{409, fmt::format("{} is in use by {}; without --no-queue {} waits for it", request.drive,
                                            name_holders(holders), plan.blade)};
        }
    }
    return std::nullopt;
}

void Step::take_over(Lease& taker, const Present& request) {
    taker.order = --state_.first_order;
    changed(taker);
    const Instant deadline = now_ + request.deadline.value_or(state_.timing.take_deadline);
    std::vector<LeaseId> holders;
    for (const auto& [id, other] : state_.leases) {
        if (other.drive == taker.drive && other.blade != taker.blade && is_active(other) &&
            !coexist(other.mode, taker.mode)) {
            holders.push_back(id);
        }
    }
    for (const LeaseId id : holders) {
        Lease& holder = state_.leases.at(id);
        if (request.policy == Policy::force) {
            fence(holder, Ending::taken,
                  fmt::format("taken over by force for {}: what its host had not written is lost, or unknown",
                              taker.blade));
        } else if (holder.state != LeaseState::revoking) {
            revoke(holder, Ending::taken, deadline, taker.id);
        }
    }
}

// What was being ended for a waiter is now being ended for the one that takes its place.
void Step::inherit(LeaseId former, LeaseId heir) {
    for (auto& [id, lease] : state_.leases) {
        if (lease.state == LeaseState::revoking && (lease.taker == former || lease.successor == former)) {
            lease.taker = lease.taker == former ? heir : lease.taker;
            lease.successor = lease.successor == former ? heir : lease.successor;
            changed(lease);
        }
    }
}

// Keeps what a request led to, for its repetition; the oldest are forgotten.
void Step::remember(const std::string& request) {
    if (request.empty()) {
        return;
    }
    std::uint64_t latest = 0;
    auto oldest = state_.requests.end();
    for (auto entry = state_.requests.begin(); entry != state_.requests.end(); ++entry) {
        latest = std::max(latest, entry->second.entered);
        if (oldest == state_.requests.end() || entry->second.entered < oldest->second.entered) {
            oldest = entry;
        }
    }
    if (state_.requests.size() >= requests_kept) {
        actions_.changes.requests.insert(oldest->first);
        state_.requests.erase(oldest);
    }
    state_.requests[request] = Request{latest + 1, actions_.leases};
    actions_.changes.requests.insert(request);
}

void Step::handle(const Present& request) {
    if (const auto entered = state_.requests.find(request.request); entered != state_.requests.end()) {
        actions_.leases = entered->second.leases;
        return;
    }
    const auto drive = state_.drives.find(request.drive);
    if (drive == state_.drives.end()) {
        actions_.refusal = no_such_drive(state_, request.drive);
        return;
    }
    if (request.access == Mode::write && drive->second.read_only) {
        refuse(409, fmt::format("drive {} is read-only, so nobody can be given write access to it; use --access read",
                                request.drive));
        return;
    }
    std::vector<std::string> blades;
    if (request.all) {
        std::copy_if(request.blades.begin(), request.blades.end(), std::back_inserter(blades),
                     [this](const std::string& name) { return state_.blades.contains(name); });
    } else if (auto refusal = list_blades(request.blades, blades)) {
        actions_.refusal = std::move(refusal);
        return;
    }
    if (blades.empty()) {
        refuse(409, "there is no blade yet; add one first with: drivebay blade add NAME");
        return;
    }
    std::vector<Plan> plans;
    for (const std::string& blade : blades) {
        if (auto refusal = plan(request, blade, plans)) {
            actions_.refusal = std::move(refusal);
            return;
        }
    }
    if (request.policy == Policy::no_queue) {
        if (auto refusal = refuse_to_wait(request, plans)) {
            actions_.refusal = std::move(refusal);
            return;
        }
    }
    for (const Plan& plan : plans) {
        LeaseId id = plan.existing;
        if (id == 0) {
            Lease& lease = new_lease(request.drive, plan.blade, request.access, plan.slot.slot);
            lease.notice = plan.slot.notice;
            id = lease.id;
            audit("presented", lease, lease.notice);
        }
        if (plan.replaced != 0) {
            Lease& old = state_.leases.at(plan.replaced);
            old.successor = id;
            changed(old);
            if (old.state == LeaseState::waiting) {
                inherit(old.id, id);
                end_waiter(old, Ending::changed,
                           fmt::format("{} access was asked for instead", to_string(request.access)));
            } else if (plan.end_first && request.policy == Policy::force) {
                fence(old, Ending::changed, fmt::format("ended by force for {} access", to_string(request.access)));
            } else if (plan.end_first) {
                revoke(old, Ending::changed, now_ + request.deadline.value_or(state_.timing.withdraw_deadline));
            }
        }
        Lease& lease = state_.leases.at(id);
        if (lease.state == LeaseState::waiting && (request.policy == Policy::take || request.policy == Policy::force)) {
            take_over(lease, request);
        }
        actions_.leases.push_back(id);
    }
    remember(request.request);
}

void Step::handle(const Withdraw& request) {
    if (!state_.drives.contains(request.drive)) {
        actions_.refusal = no_such_drive(state_, request.drive);
        return;
    }
    std::vector<std::string> blades;
    if (request.all) {
        for (const auto& [name, blade] : state_.blades) {
            if (find_presented(state_, request.drive, name)) {
                blades.push_back(name);
            }
        }
        if (blades.empty()) {
            refuse(404, fmt::format("{} is presented to no blade", request.drive));
            return;
        }
    } else if (auto refusal = list_blades(request.blades, blades)) {
        actions_.refusal = std::move(refusal);
        return;
    }
    for (const std::string& blade : blades) {
        if (!find_presented(state_, request.drive, blade)) {
            refuse(404, fmt::format("{} is not presented to {}", request.drive, blade));
            return;
        }
    }
    const Instant deadline = now_ + request.deadline.value_or(state_.timing.withdraw_deadline);
    for (const std::string& blade : blades) {
        Lease* lease = find_presented(state_, request.drive, blade);
        LeaseId answer = lease->id;
        if (lease->state == LeaseState::waiting) {
            end_waiter(*lease, Ending::withdrawn, "withdrawn while it waited");
            // The lease that it was to follow, if there is one, goes too.
            lease = find_presented(state_, request.drive, blade);
        }
        if (lease) {
            answer = lease->id;
            if (request.force) {
                fence(*lease, Ending::withdrawn,
                      lease->mode == Mode::write
                          ? "withdrawn by force: what the host had not written is lost, or unknown"
                          : "withdrawn by force");
            } else if (lease->state == LeaseState::revoking) {
                lease->ending = Ending::withdrawn;
                lease->successor = 0;
                lease->deadline = std::min(lease->deadline, deadline);
                changed(*lease);
            } else {
                revoke(*lease, Ending::withdrawn, deadline);
            }
        }
        actions_.leases.push_back(answer);
    }
}

void Step::handle(const Revoke& request) {
    const auto found = state_.leases.find(request.lease);
    if (found == state_.leases.end()) {
        refuse(404, fmt::format("there is no lease {}; drivebay leases lists them", request.lease));
        return;
    }
    fence(found->second, Ending::withdrawn,
          found->second.mode == Mode::write
              ? "revoked by the operator: what the host had not written is lost, or unknown"
              : "revoked by the operator");
    actions_.leases.push_back(request.lease);
}

void Step::handle(const LeaveQueue& request) {
    const auto found = state_.leases.find(request.lease);
    if (found == state_.leases.end()) {
        refuse(404, fmt::format("there is no lease {}", request.lease));
        return;
    }
    Lease& lease = found->second;
    if (is_active(lease) || lease.state == LeaseState::fencing) {
        refuse(409, fmt::format("lease {} no longer waits; end it with: drivebay withdraw {} --from {}", lease.id,
                                lease.drive, lease.blade));
        return;
    }
    if (lease.state == LeaseState::waiting) {
        end_waiter(lease, Ending::left, "left the queue");
    }
    actions_.leases.push_back(lease.id);
}

}  // namespace drivebay::arbiter
