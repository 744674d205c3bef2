// The arbiter's answers as tables. A field that is missing is shown as "-": an older or newer arbiter does no harm.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/table.h"

namespace drivebay::cli {

Table drive_table(const nlohmann::json& drives);
// One line a slot, or one for a blade that has told of none.
Table blade_table(const nlohmann::json& blades);
Table lease_table(const nlohmann::json& leases);

// An object as "key: value" lines, the way `show` prints it; sizes with their unit, lists of objects as JSON.
std::string describe(const nlohmann::json& object);

// A blade's slots, one a line: what is in them since when, and what its host has made of it.
Table slot_table(const nlohmann::json& blade);

}  // namespace drivebay::cli
