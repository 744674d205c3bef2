// What the arbiter would refuse of a running state if it started from it.
#pragma once

#include <string>
#include <vector>

#include "arbiter/store/stored_state_check.h"

namespace drivebay::arbiter {

inline std::vector<std::string> stored_findings(State state) {
    // Kept in memory for a while, and in no store.
    std::erase_if(state.leases, [](const auto& entry) { return is_gone(entry.second); });
    return check_stored_state(state);
}

}  // namespace drivebay::arbiter
