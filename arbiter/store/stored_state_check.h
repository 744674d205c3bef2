// What holds of every state that the lease core ever had stored. A state of which it does not hold was not written by
// it: the store is damaged in a way that SQLite cannot see.
#pragma once

#include <string>
#include <vector>

#include "arbiter/core/lease_table.h"

namespace drivebay::arbiter {

// A sentence for each thing that cannot be, empty for a good state. Only the stored part of `state` is looked at.
std::vector<std::string> check_stored_state(const State& state);

}  // namespace drivebay::arbiter
