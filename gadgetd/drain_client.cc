#include "gadgetd/drain_client.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "lib/rpc/client.h"

namespace drivebay::gadgetd {

namespace {

using nlohmann::json;
using protocol::Outcome;
using Kind = DrainAnswer::Kind;

}  // namespace

DrainAnswer DrainClient::drain(const std::string& drive, Epoch epoch, Duration limit) const {
    json question{{"drive", drive}, {"blade", blade_}, {"epoch", epoch}};
    Result<rpc::Response> response = rpc::call(endpoint_, "POST", "/v1/drain", question.dump(), limit);
    if (!response) {
        Kind kind = response.error().code == ETIMEDOUT ? Kind::busy : Kind::unreachable;
        return {kind, Outcome::unknown, response.error().message};
    }
    try {
        json answer = json::parse(response->body);
        if (response->status != 200) {
            return {Kind::unreachable, Outcome::unknown,
                    answer.value("error", fmt::format("HTTP status {}", response->status))};
        }
        for (Outcome outcome : {Outcome::drained, Outcome::lost, Outcome::unknown}) {
            if (answer.at("outcome") == protocol::to_string(outcome)) {
                return {Kind::answered, outcome, answer.value("error", ""), answer.value("opened", true)};
            }
        }
        return {Kind::unreachable, Outcome::unknown, "drivebayfs answered with an outcome that is none"};
    } catch (const json::exception& failure) {
        return {Kind::unreachable, Outcome::unknown,
                fmt::format("drivebayfs answered what is no answer: {}", failure.what())};
    }
}

Result<DrainClient::Sources> DrainClient::sources(Duration limit) const {
    Result<rpc::Response> response = rpc::call(endpoint_, "GET", "/v1/status", "", limit);
    if (!response) {
        return response.error();
    }
    Sources sources;
    try {
        const json status = json::parse(response->body);
        for (const json& view : status.at("views")) {
            if (std::string blade = view.value("blade", ""); !blade.empty() && blade != blade_) {
                continue;
            }
            const std::string state = view.at("state");
            const std::pair<std::string, Epoch> key{view.at("drive"), view.at("epoch")};
            if (view.contains("read_bytes")) {
                sources.traffic[key] = view.at("read_bytes").get<std::uint64_t>() + view.value("written_bytes", std::uint64_t{0});
            }
            sources.states[key] = state == "ended"     ? SourceState::ended
                                                           : state == "offline" ? SourceState::offline
                                                                                : SourceState::online;
        }
    } catch (const json::exception& failure) {
        return Error{EPROTO, fmt::format("drivebayfs answered what is no status: {}", failure.what())};
    }
    return sources;
}

}  // namespace drivebay::gadgetd
