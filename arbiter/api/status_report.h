// `drivebay status --json`, and the parts of it that single requests answer with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter {

nlohmann::ordered_json report_drive(const State& state, const Drive& drive);
nlohmann::ordered_json report_blade(const State& state, const Blade& blade);
// Of one blade; empty: all.
nlohmann::ordered_json report_leases(const State& state, const std::string& blade = "");
nlohmann::ordered_json report_status(const State& state);

}  // namespace drivebay::arbiter
