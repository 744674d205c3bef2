// Answers in their two forms.
#pragma once

#include <nlohmann/json.hpp>

#include "arbiter/core/lease_core.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

// Texts that are no UTF-8 (a drive's source can be any bytes) are told with replacement characters.
inline rpc::Response answered(const nlohmann::ordered_json& json) {
    return {200, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

inline rpc::Response refused(const Refusal& refusal) {
    const nlohmann::ordered_json json{{"error", refusal.message}};
    return {refusal.status, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

}  // namespace drivebay::arbiter
