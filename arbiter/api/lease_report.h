// A lease as operators see it: LEASE of doc/PROTOCOL.md.
#pragma once

#include <nlohmann/json.hpp>

#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter {

nlohmann::ordered_json report_lease(const State& state, const Lease& lease);

// "held", "waiting" (a granted one that the data path has not admitted yet included), "revoking", "gone".
std::string_view outward_state(const Lease& lease);

// What the blade's slot has of this lease; see LEASE.
std::string slot_state(const State& state, const Lease& lease);

// The lease that whoever waits for this one to be loaded should look at: itself, or what followed it.
const Lease& latest(const State& state, const Lease& lease);

// What `GET /v1/leases/ID?until=` waits for.
bool is_settled(const State& state, const Lease& lease, bool until_loaded);

}  // namespace drivebay::arbiter
