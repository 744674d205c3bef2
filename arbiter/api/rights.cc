#include "arbiter/api/rights.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/tls/identity.h"

namespace drivebay::arbiter {
namespace {

using nlohmann::json;

bool is_believed(const rpc::Peer& peer) { return peer.local || !peer.secure; }

// What a holder has not written may be lost by it.
bool is_by_force(const std::string& body) {
    const json request = parse_json(body);
    if (!request.is_object()) {
        return false;
    }
    const auto policy = request.find("policy");
    const auto force = request.find("force");
    return (policy != request.end() && *policy == "force") || (force != request.end() && *force != false);
}

tls::Role role_for(Verb verb) {
    return verb == Verb::look || verb == Verb::look_at_own ? tls::Role::view
           : verb == Verb::operate                         ? tls::Role::operate
                                                           : tls::Role::admin;
}

const char* words_for(Verb verb) {
    return verb == Verb::administer ? "an admin's business"
           : verb == Verb::operate  ? "for operators who may operate"
                                    : "for operators";
}

}  // namespace

Demand demand_of(const rpc::Request& request) {
    const std::string& path = request.path;
    const bool posts = request.method == "POST";
    if (request.method == "GET") {
        constexpr std::string_view blades = "/v1/blades/";
        if (path.starts_with(blades)) {
            return {Verb::look_at_own, path.substr(blades.size())};
        }
        return {path == "/v1/leases" ? Verb::look_at_own : path == "/v1/pki" ? Verb::administer : Verb::look, ""};
    }
    if (posts && path == "/v1/enroll") {
        return {Verb::enroll, ""};
    }
    if (posts && path == "/v1/renew") {
        return {Verb::renew, ""};
    }
    if (posts && (path == "/v1/presentations" || path == "/v1/withdrawals")) {
        return {is_by_force(request.body) ? Verb::administer : Verb::operate, ""};
    }
    const bool refreshes = posts && path.starts_with("/v1/drives/") && path.ends_with("/refresh");
    const bool leaves_queue = request.method == "DELETE" && path.starts_with("/v1/leases/");
    return {refreshes || leaves_queue ? Verb::operate : Verb::administer, ""};
}

std::optional<Denial> denial(const rpc::Peer& peer, const Demand& demand) {
    if (is_believed(peer) || demand.verb == Verb::enroll) {
        return std::nullopt;
    }
    if (peer.identity.empty()) {
        return Denial{401, "no certificate was shown; a blade gets one by: drivebay-gadgetd enroll, an operator by: drivebay "
                           "operator add"};
    }
    const auto identity = tls::parse_identity(peer.identity);
    if (!identity || identity->kind == tls::Identity::Kind::module) {
        return Denial{403, fmt::format("{} is nobody who asks", log::quoted(peer.identity))};
    }
    if (demand.verb == Verb::renew) {
        return std::nullopt;
    }
    if (identity->kind == tls::Identity::Kind::blade) {
        const bool own = demand.verb == Verb::look_at_own && (demand.blade.empty() || demand.blade == identity->name);
        return own ? std::nullopt : std::optional(Denial{403, fmt::format("this is {}, and {} is a blade", words_for(demand.verb), identity->name)});
    }
    if (identity->role >= role_for(demand.verb)) {
        return std::nullopt;
    }
    return Denial{403, fmt::format("this is {}, and {} has the role {}", words_for(demand.verb), identity->name,
                                   tls::to_string(identity->role))};
}

std::optional<Denial> denial_to_be(const rpc::Peer& peer, const std::string& blade) {
    const tls::Identity wanted{tls::Identity::Kind::blade, blade, tls::Role::view};
    if (is_believed(peer) || peer.identity == to_string(wanted)) {
        return std::nullopt;
    }
    return Denial{403, fmt::format("{} is not blade {}", name_of(peer), log::quoted(blade))};
}

std::string blade_of(const rpc::Peer& peer) {
    const auto identity = tls::parse_identity(peer.identity);
    return identity && identity->kind == tls::Identity::Kind::blade ? identity->name : "";
}

std::string name_of(const rpc::Peer& peer) {
    if (peer.local) {
        return peer.uid == 0 ? "root" : fmt::format("uid {}", peer.uid);
    }
    return peer.identity.empty() ? peer.address : peer.identity;
}

}  // namespace drivebay::arbiter
