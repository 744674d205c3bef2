#include "lib/rpc/identity_renewal.h"

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

#include "lib/base/json_text.h"
#include "lib/tls/authority.h"
#include "lib/tls/folder.h"

namespace drivebay::rpc {

using nlohmann::json;

bool is_renewal_due(const std::string& folder) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto own = tls::own_certificate(folder);
    return own && own->end - std::chrono::duration_cast<std::chrono::seconds>(now).count() < tls::renewed_before_end;
}

Status renew_identity(const std::string& folder, const Endpoint& arbiter, const Secure& secure, Duration limit) {
    const auto own = tls::own_certificate(folder);
    if (!own) {
        return own.error();
    }
    const auto key = tls::key_in(folder);
    const auto request = key ? tls::make_request(key->get()) : Result<std::string>(key.error());
    if (!request) {
        return request.error();
    }
    const std::string body = json{{"request", *request}}.dump();
    return keep_answer(folder, call(arbiter, "POST", "/v1/renew", body, limit, secure), own->identity.kind, own->identity.name);
}

Status keep_answer(const std::string& folder, const Result<Response>& response, tls::Identity::Kind kind, const std::string& name) {
    if (!response) {
        return response.error();
    }
    const json answer = parse_json(response->body);
    if (!answer.is_object()) {
        return Error{EPROTO, "what answers there is not drivebay's arbiter"};
    }
    const auto text = [&](const char* key) {
        const auto found = answer.find(key);
        return found != answer.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    if (response->status != 200) {
        return Error{EACCES, text("error").empty() ? "it was refused without a reason" : text("error")};
    }
    if (text("certificate").empty() || text("authority").empty()) {
        return Error{EPROTO, "the arbiter's answer has no certificate in it"};
    }
    return tls::keep_certificate(folder, text("certificate"), text("authority"), kind, name);
}

}  // namespace drivebay::rpc
