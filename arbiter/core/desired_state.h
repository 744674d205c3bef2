// What the arbiter tells the others, made from its state: each blade's desired slots, the data path's table.
#pragma once

#include <string>

#include "arbiter/core/lease_table.h"

namespace drivebay::arbiter {

// A blade sees leases that are held, or revoking (then with eject: true). It must be known.
protocol::Desired desired_state(const State& state, const std::string& blade);

protocol::Table data_path_table(const State& state);

}  // namespace drivebay::arbiter
