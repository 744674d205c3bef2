#include "cli/arbiter.h"

#include <fmt/format.h>

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lib/base/json_text.h"
#include "lib/rpc/client.h"
#include "lib/rpc/identity_renewal.h"
#include "lib/tls/folder.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

std::string what_to_type(const rpc::Endpoint& endpoint, int code) {
    if (!endpoint.is_unix()) {
        return "check the address, that arbiter.cfg's `listen` on that machine names one you can reach, and that you have a "
               "certificate for it (drivebay operator add there, --identity FOLDER here)";
    }
    if (code == EACCES || code == EPERM) {
        return "you may not use this socket: type it with sudo, or name another with --server";
    }
    return "is it running? Start it with: systemctl start drivebay-arbiterd. For another machine's: --server HOST";
}

// The folder of whoever uses this command; empty: there is none.
std::string identity_folder() {
    if (const char* named = std::getenv(identity_variable); named != nullptr && *named != '\0') {
        return named;
    }
    std::vector<std::string> places;
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
        places.push_back(std::string(home) + "/.config/drivebay");
    }
    places.emplace_back("/etc/drivebay/operator");
    for (const std::string& place : places) {
        if (::access((place + "/" + tls::certificate_file).c_str(), R_OK) == 0) {
            return place;
        }
    }
    return "";
}

// Before it ends, with whatever the operator asks next.
void renew(const std::string& folder, const rpc::Endpoint& arbiter, const rpc::Secure& secure) {
    if (!rpc::is_renewal_due(folder)) {
        return;
    }
    if (const Status renewed = rpc::renew_identity(folder, arbiter, secure, std::chrono::seconds(15)); !renewed) {
        fmt::print(stderr, "drivebay: your certificate in {} ends within a month and was not renewed: {}\n", folder,
                   renewed.error().message);
    }
}

}  // namespace

Error failure(ExitStatus status, std::string sentence) { return Error{status, std::move(sentence)}; }

Result<Arbiter> Arbiter::at(const std::string& server) {
    Result<rpc::Endpoint> endpoint = rpc::parse_endpoint(server);
    if (!endpoint) {
        return failure(wrong_usage, fmt::format("--server {}: {}", server, endpoint.error().message));
    }
    Arbiter arbiter;
    arbiter.endpoint_ = *endpoint;
    arbiter.name_ = rpc::to_string(*endpoint);
    if (const std::string folder = endpoint->is_unix() ? "" : identity_folder(); !folder.empty()) {
        arbiter.secure_ = tls::secure_by(folder, "get one on the management module with: drivebay operator add NAME --to FOLDER");
        renew(folder, arbiter.endpoint_, arbiter.secure_);
    }
    return arbiter;
}

Result<json> Arbiter::get_from(const std::string& server, const std::string& target) {
    const Result<Arbiter> arbiter = at(server);
    return arbiter ? arbiter->get(target) : Result<json>(arbiter.error());
}

Result<json> Arbiter::get(const std::string& target, Duration limit) const { return request("GET", target, "", limit); }

Result<json> Arbiter::post(const std::string& target, const json& body, Duration limit) const {
    return request("POST", target, body.dump(-1, ' ', false, json::error_handler_t::replace), limit);
}

Result<json> Arbiter::remove(const std::string& target) const {
    return request("DELETE", target, "", std::chrono::seconds(15));
}

Result<json> Arbiter::request(const std::string& method, const std::string& target, const std::string& body,
                              Duration limit) const {
    Result<rpc::Response> response = rpc::call(endpoint_, method, target, body, limit, secure_);
    if (!response) {
        const Error& error = response.error();
        if (error.code == ETIMEDOUT) {
            return failure(unreachable,
                           fmt::format("the arbiter at {} did not answer within {} s; whether it did what was asked is "
                                       "not known: look with drivebay status",
                                       name_, std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
        }
        return failure(unreachable, fmt::format("cannot reach the arbiter: {}; {}", error.message,
                                                what_to_type(endpoint_, error.code)));
    }
    return judge_answer(name_, response->status, response->body);
}

Result<json> judge_answer(const std::string& server, int http_status, const std::string& body) {
    json answer = parse_json(body);
    if (!answer.is_object()) {
        return failure(unreachable, fmt::format("what answers at {} is not drivebay's arbiter (HTTP status {} and no "
                                                "JSON object); check --server",
                                                server, http_status));
    }
    if (http_status >= 200 && http_status < 300) {
        return answer;
    }
    if (const auto sentence = answer.find("error"); sentence != answer.end() && sentence->is_string()) {
        return failure(refused, sentence->get<std::string>());
    }
    return failure(refused, fmt::format("the arbiter at {} refused with HTTP status {} and no reason; its log has more",
                                        server, http_status));
}

}  // namespace drivebay::cli
