// The refusals that several requests share.
#pragma once

#include <string>

#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter {

Refusal no_such_drive(const State& state, const std::string& name);
Refusal no_such_blade(const State& state, const std::string& name);

// "blade01 (write), blade02 (read)"
std::string name_holders(const std::vector<Holder>& holders);

}  // namespace drivebay::arbiter
