#include "gadgetd/enrolment.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/base/log.h"
#include "lib/rpc/client.h"
#include "lib/rpc/identity_renewal.h"
#include "lib/tls/folder.h"
#include "lib/tls/token.h"

namespace drivebay::gadgetd {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr Duration patience = 15s;
constexpr Duration between_looks = std::chrono::hours(1);

}  // namespace

Result<std::string> enroll(const Settings& settings, const std::string& arbiter, const std::string& token_text,
                           bool blade_is_set) {
    const auto token = tls::parse_token(token_text);
    if (!token) {
        return token.error();
    }
    if (blade_is_set && token->blade != settings.blade) {
        return Error{EINVAL, fmt::format("the token is for blade {}, and the configuration calls this blade {}: use its own "
                                         "token, or change `blade`",
                                         token->blade, settings.blade)};
    }
    const auto endpoint = rpc::parse_endpoint(arbiter);
    if (!endpoint) {
        return endpoint.error();
    }
    if (endpoint->is_unix()) {
        return Error{EINVAL, "a blade is enrolled over the network: name the management module's address with --arbiter"};
    }
    const auto key = tls::key_in(settings.identity);
    const auto request = key ? tls::make_request(key->get()) : Result<std::string>(key.error());
    if (!request) {
        return request.error();
    }
    const json body{{"blade", token->blade}, {"secret", tls::to_base64url(token->secret)}, {"request", *request},
                    {"called", endpoint->host}};
    const rpc::Secure secure = [&] { return tls::Context::enrolling(token->fingerprint); };
    const auto answer = rpc::call(*endpoint, "POST", "/v1/enroll", body.dump(), patience, secure);
    if (!answer && answer.error().message.find("another authority") != std::string::npos) {
        return Error{EACCES, fmt::format("{} is not the management module that made this token, so nothing was told to it: check "
                                         "--arbiter, or ask that one for a token",
                                         rpc::to_string(*endpoint))};
    }
    if (Status taken = rpc::keep_answer(settings.identity, answer, tls::Identity::Kind::blade, token->blade); !taken) {
        return taken.error();
    }
    return fmt::format("this is blade {} now; its key and certificate are in {}", token->blade, settings.identity);
}

Status renew(const Settings& settings) {
    return rpc::renew_identity(settings.identity, settings.arbiter_endpoint(), settings.secure(), patience);
}

Renewal::Renewal(rpc::Reactor& reactor, const Settings& settings) : settings_(settings), timer_(reactor) {
    if (settings_.security != "none" && !settings_.arbiter_endpoint().is_unix()) {
        timer_.set(1s, [this] { look(); });
    }
}

void Renewal::look() {
    timer_.set(between_looks, [this] { look(); });
    if (!rpc::is_renewal_due(settings_.identity)) {
        return;
    }
    // It may take its time, and touches nothing but files.
    std::thread([settings = settings_] {
        if (const Status renewed = renew(settings); !renewed) {
            log::warning("this blade's certificate was not renewed", {{"reason", renewed.error().message}});
        } else {
            log::notice("this blade's certificate was renewed");
        }
    }).detach();
}

}  // namespace drivebay::gadgetd
