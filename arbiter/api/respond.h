// Answers in their two forms.
#pragma once

#include <nlohmann/json.hpp>

#include "arbiter/arbiter.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

// Texts that are no UTF-8 (a drive's source can be any bytes) are told with replacement characters.
inline rpc::Response answered(const nlohmann::ordered_json& json) {
    return {200, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

// What a reader must know: that the store has not answered for so long, so what is seen may rest on what it does not yet
// have. Nothing where it answers as it should.
inline std::optional<nlohmann::ordered_json> note_of_store(const Arbiter& arbiter) {
    const auto delay = arbiter.store_delay();
    if (!delay || *delay < Arbiter::read_patience) {
        return std::nullopt;
    }
    return nlohmann::ordered_json{
        {"waiting_ms", std::chrono::duration_cast<std::chrono::milliseconds>(*delay).count()}};
}

// An object that was read from the state, with that note.
inline rpc::Response shown(const Arbiter& arbiter, nlohmann::ordered_json json) {
    if (auto note = note_of_store(arbiter)) {
        json["store"] = std::move(*note);
    }
    return answered(json);
}

inline rpc::Response refused(const Refusal& refusal) {
    const nlohmann::ordered_json json{{"error", refusal.message}};
    return {refusal.status, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

}  // namespace drivebay::arbiter
