#include "gadgetd/enrolment.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/base/log.h"
#include "lib/rpc/client.h"
#include "lib/tls/folder.h"
#include "lib/tls/token.h"

namespace drivebay::gadgetd {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr Duration patience = 15s;
constexpr Duration between_looks = std::chrono::hours(1);
constexpr std::int64_t renewed_before_end = 30 * 24 * 3600;  // a third of what the module gives

// The answer's two certificates, kept; or the arbiter's sentence.
Status take(const Settings& settings, const Result<rpc::Response>& response, const std::string& blade) {
    if (!response) {
        return response.error();
    }
    const json answer = json::parse(response->body, nullptr, false);
    if (!answer.is_object()) {
        return Error{EPROTO, "what answers there is not drivebay's arbiter"};
    }
    if (response->status != 200) {
        return Error{EACCES, answer.value("error", json()).is_string() ? answer["error"].get<std::string>()
                                                                       : "it was refused without a reason"};
    }
    if (!answer.value("certificate", json()).is_string() || !answer.value("authority", json()).is_string()) {
        return Error{EPROTO, "the arbiter's answer has no certificate in it"};
    }
    return tls::keep_certificate(settings.identity, answer["certificate"], answer["authority"], tls::Identity::Kind::blade, blade);
}

Result<std::string> request_of(const Settings& settings) {
    const auto key = tls::key_in(settings.identity);
    return key ? tls::make_request(key->get()) : Result<std::string>(key.error());
}

std::int64_t wall_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

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
    const auto request = request_of(settings);
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
    if (Status taken = take(settings, answer, token->blade); !taken) {
        return taken.error();
    }
    return fmt::format("this is blade {} now; its key and certificate are in {}", token->blade, settings.identity);
}

Status renew(const Settings& settings) {
    const auto own = tls::own_certificate(settings.identity);
    if (!own) {
        return own.error();
    }
    const auto request = request_of(settings);
    if (!request) {
        return request.error();
    }
    return take(settings,
                rpc::call(settings.arbiter_endpoint(), "POST", "/v1/renew", json{{"request", *request}}.dump(), patience,
                          settings.secure()),
                own->identity.name);
}

Renewal::Renewal(rpc::Reactor& reactor, const Settings& settings) : reactor_(reactor), settings_(settings), timer_(reactor) {
    if (settings_.security != "none" && !settings_.arbiter_endpoint().is_unix()) {
        timer_.set(1s, [this] { look(); });
    }
}

Renewal::~Renewal() { *alive_ = false; }

void Renewal::look() {
    timer_.set(between_looks, [this] { look(); });
    const auto own = tls::own_certificate(settings_.identity);
    if (!own || own->end - wall_now() >= renewed_before_end) {
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
