#include "arbiter/api/lease_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "arbiter/core/step.h"

namespace drivebay::arbiter {
namespace {

const Blade* blade_of(const State& state, const Lease& lease) {
    const auto found = state.blades.find(lease.blade);
    return found == state.blades.end() ? nullptr : &found->second;
}

const protocol::ObservedSlot* own_slot(const State& state, const Lease& lease) {
    const Blade* blade = blade_of(state, lease);
    const auto* slot = blade ? observed_slot(blade->observed, lease.slot) : nullptr;
    return slot && lease.epoch != 0 && slot->drive == lease.drive && slot->epoch == lease.epoch ? slot : nullptr;
}

std::string notice_of(const State& state, const Lease& lease) {
    std::string notice = lease.notice;
    const auto add = [&notice](const std::string& sentence) { notice += (notice.empty() ? "" : "; ") + sentence; };
    const Blade* blade = blade_of(state, lease);
    if (lease.state == LeaseState::waiting || lease.state == LeaseState::granted) {
        if (const std::string hindered = hindrance(state, lease.drive); !hindered.empty()) {
            add("it waits because " + hindered);
        }
    }
    if (!is_gone(lease) && blade && !blade->connected) {
        add(fmt::format("{} is not connected; it will be loaded when the blade connects", lease.blade));
    }
    return notice;
}

std::int64_t milliseconds_until(Instant when) {
    return std::max<std::int64_t>(
        0, std::chrono::duration_cast<std::chrono::milliseconds>(when - BootClock::now()).count());
}

}  // namespace

std::string_view outward_state(const Lease& lease) {
    switch (lease.state) {
        case LeaseState::waiting:
        case LeaseState::granted: return "waiting";
        case LeaseState::held: return "held";
        case LeaseState::revoking:
        case LeaseState::fencing: return "revoking";
        case LeaseState::gone: break;
    }
    return "gone";
}

std::string slot_state(const State& state, const Lease& lease) {
    if (is_local(lease)) {
        return "";
    }
    const Blade* blade = blade_of(state, lease);
    if (!blade || !blade->connected) {
        return "offline";
    }
    const auto* slot = own_slot(state, lease);
    return std::string(protocol::to_string(slot ? slot->state : protocol::SlotState::empty));
}

const Lease& latest(const State& state, const Lease& lease) {
    const Lease* last = &lease;
    // Successors are younger, but for the one link back of a wish that turned out to be had already.
    for (int links = 0; links < 64 && is_gone(*last) && last->successor != 0; ++links) {
        const auto next = state.leases.find(last->successor);
        if (next == state.leases.end()) {
            break;
        }
        last = &next->second;
    }
    return *last;
}

bool is_settled(const State& state, const Lease& lease, bool until_loaded) {
    if (is_gone(lease)) {
        return true;
    }
    if (!until_loaded) {
        return lease.state == LeaseState::held && !lease.outcome.empty();
    }
    const auto* slot = own_slot(state, lease);
    return lease.state == LeaseState::held && slot && blade_of(state, lease)->connected &&
           (slot->state == protocol::SlotState::loaded || slot->state == protocol::SlotState::error);
}

nlohmann::ordered_json report_lease(const State& state, const Lease& lease) {
    nlohmann::ordered_json behind_json = nlohmann::ordered_json::array();
    for (const Holder& holder : behind(state, lease)) {
        behind_json.push_back({{"blade", holder.blade}, {"mode", to_string(holder.mode)}, {"epoch", holder.epoch}});
    }
    const auto* slot = own_slot(state, lease);
    const bool failed = slot && slot->state == protocol::SlotState::error;
    const auto wall_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    nlohmann::ordered_json json;
    json["id"] = lease.id;
    json["drive"] = lease.drive;
    json["blade"] = lease.blade;
    json["mode"] = to_string(lease.mode);
    json["epoch"] = lease.epoch;
    json["state"] = outward_state(lease);
    json["slot"] = lease.slot;
    json["slot_state"] = slot_state(state, lease);
    json["behind"] = std::move(behind_json);
    json["age_ms"] = lease.since_ms == 0 ? 0 : std::max<std::int64_t>(0, wall_ms - lease.since_ms);
    const Blade* blade = blade_of(state, lease);
    json["session_left_ms"] = blade && blade->live ? nlohmann::ordered_json(milliseconds_until(blade->deadline))
                                                   : nlohmann::ordered_json(nullptr);
    json["outcome"] = failed ? slot->error : lease.outcome;
    json["notice"] = notice_of(state, lease);
    if (lease.ending != Ending::none) {
        json["ending"] = to_string(lease.ending);
    }
    if (lease.successor != 0) {
        json["successor"] = lease.successor;
    }
    return json;
}

}  // namespace drivebay::arbiter
