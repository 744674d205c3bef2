#include "arbiter/api/status_report.h"

#include "arbiter/api/lease_report.h"
#include "arbiter/core/step.h"

namespace drivebay::arbiter {
namespace {

using Json = nlohmann::ordered_json;

Json as_json(const protocol::Counters& counters) {
    return {{"reads", counters.reads},
            {"read_bytes", counters.read_bytes},
            {"writes", counters.writes},
            {"written_bytes", counters.written_bytes},
            {"errors", counters.errors}};
}

Json report_served(const State& state, const Blade& blade) {
    protocol::Counters sum;
    for (const auto& [key, counters] : state.counters) {
        if (key.second == blade.name) {
            sum.add(counters);
        }
    }
    return as_json(sum);
}

// What holds, or is about to hold, a slot.
const Lease* lease_of_slot(const State& state, const Blade& blade, int slot) {
    for (const auto& [id, lease] : state.leases) {
        if (lease.blade == blade.name && lease.slot == slot &&
            (lease.state == LeaseState::held || lease.state == LeaseState::revoking)) {
            return &lease;
        }
    }
    return nullptr;
}

Json report_slot(const State& state, const Blade& blade, int slot, DriveKind kind) {
    const auto* observed = observed_slot(blade.observed, slot);
    const Lease* lease = lease_of_slot(state, blade, slot);
    Json json;
    json["slot"] = slot;
    json["kind"] = to_string(kind);
    // A blade that is away is told as it was meant to be; what it really has cannot be known.
    const bool seen = blade.connected && observed;
    const std::string drive = seen ? observed->drive : lease ? lease->drive : std::string();
    json["drive"] = drive;
    json["access"] =
        !drive.empty() && lease && lease->drive == drive ? std::string(to_string(lease->mode)) : std::string();
    json["state"] = seen ? protocol::to_string(observed->state) : "offline";
    json["epoch"] = seen ? observed->epoch : lease ? lease->epoch : 0;
    json["host_locked"] = seen && observed->host_locked;
    json["error"] = seen ? observed->error : std::string();
    const auto since = blade.slots_since_ms.find(slot);
    json["since"] = seen && since != blade.slots_since_ms.end() ? Json(since->second) : Json();
    const auto served = state.counters.find({drive, blade.name});
    json["served"] = as_json(served == state.counters.end() ? protocol::Counters() : served->second);
    return json;
}

}  // namespace

nlohmann::ordered_json report_drive(const State& state, const Drive& drive) {
    const std::string hindered = hindrance(state, drive.name);
    // What was seen of it before a refresh no longer counts.
    const bool current = drive.observed && drive.observed->generation == drive.generation;
    const bool failed = current && drive.observed->state == protocol::DriveState::failed;
    Json json;
    json["name"] = drive.name;
    json["source"] = drive.source;
    json["kind"] = to_string(drive.kind);
    json["size"] = drive.size;
    json["state"] = !state.data_path_online ? "offline"
                    : failed                ? "failed"
                    : !current              ? "opening"
                    : hindered.empty()      ? "ready"
                                            : "opening";
    json["read_only"] = drive.read_only;
    json["generation"] = drive.generation;
    const auto epoch = state.epochs.find(drive.name);
    json["epoch"] = epoch == state.epochs.end() ? 0 : epoch->second;
    json["block_size"] = drive.observed ? drive.observed->block_size : 0;
    json["error"] = drive.observed ? drive.observed->error : std::string();
    return json;
}

nlohmann::ordered_json report_blade(const State& state, const Blade& blade) {
    Json slots = Json::array();
    for (const auto& [slot, kind] : blade.slots) {
        slots.push_back(report_slot(state, blade, slot, kind));
    }
    Json json;
    json["name"] = blade.name;
    json["online"] = blade.connected;
    json["slots"] = std::move(slots);
    json["session"] = blade.session.empty() ? "none" : blade.live ? "live" : "expired";
    json["udc"] = blade.observed.udc;
    json["speed"] = blade.observed.speed;
    json["served"] = report_served(state, blade);
    return json;
}

nlohmann::ordered_json report_leases(const State& state, const std::string& blade) {
    Json leases = Json::array();
    for (const auto& [id, lease] : state.leases) {
        if (!is_gone(lease) && (blade.empty() || lease.blade == blade)) {
            leases.push_back(report_lease(state, lease));
        }
    }
    return leases;
}

nlohmann::ordered_json report_status(const State& state) {
    Json status;
    status["drives"] = Json::array();
    for (const auto& [name, drive] : state.drives) {
        status["drives"].push_back(report_drive(state, drive));
    }
    status["blades"] = Json::array();
    for (const auto& [name, blade] : state.blades) {
        status["blades"].push_back(report_blade(state, blade));
    }
    status["presentations"] = Json::array();
    for (const auto& [id, lease] : state.leases) {
        if (lease.wanted && !is_gone(lease)) {
            status["presentations"].push_back({{"drive", lease.drive},
                                               {"blade", lease.blade},
                                               {"access", to_string(lease.mode)},
                                               {"slot", lease.slot}});
        }
    }
    status["leases"] = report_leases(state);
    status["data_path"] = {{"online", state.data_path_online}, {"boot_id", state.data_path_boot_id}};
    status["term"] = state.term;
    Json served = Json::array();
    for (const auto& [key, counters] : state.counters) {
        Json entry = as_json(counters);
        entry["drive"] = key.first;
        entry["blade"] = key.second;
        served.push_back(std::move(entry));
    }
    status["served"] = std::move(served);
    return status;
}

}  // namespace drivebay::arbiter
