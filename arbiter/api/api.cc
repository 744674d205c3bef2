#include "arbiter/api/api.h"

#include <fmt/format.h>

#include <charconv>

#include "arbiter/api/respond.h"
#include "arbiter/api/rights.h"
#include "arbiter/api/status_report.h"
#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/base/shortened.h"

namespace drivebay::arbiter {
namespace {

constexpr std::uint64_t longest_wait_ms = 3600 * 1000;
constexpr std::size_t longest_in_event = 500;

// Nothing for a path that is not below /v1.
std::optional<std::vector<std::string>> split_path(const std::string& path) {
    std::vector<std::string> parts;
    for (std::size_t start = 1; start <= path.size();) {
        const std::size_t end = std::min(path.find('/', start), path.size());
        parts.push_back(path.substr(start, end - start));
        start = end + 1;
    }
    if (parts.empty() || parts.front() != "v1") {
        return std::nullopt;
    }
    parts.erase(parts.begin());
    return parts;
}

}  // namespace

std::optional<std::uint64_t> query_number(const rpc::Request& request, const std::string& key,
                                          std::uint64_t otherwise) {
    const auto found = request.query.find(key);
    if (found == request.query.end()) {
        return otherwise;
    }
    std::uint64_t value = 0;
    const char* const end = found->second.data() + found->second.size();
    const auto parsed = std::from_chars(found->second.data(), end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
        return std::nullopt;
    }
    return value;
}

std::optional<Duration> query_wait(const rpc::Request& request) {
    const auto wait = query_number(request, "wait_ms", 0);
    if (!wait) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(std::min(*wait, longest_wait_ms));
}

rpc::Response no_such_method(const rpc::Request& request) {
    return refused({405, fmt::format("{} cannot be asked of {}", request.method, request.path)});
}

void Api::handle(const rpc::Request& request, const rpc::Reply& reply) {
    const auto parts = split_path(request.path);
    if (const auto denied = denial(request.peer, demand_of(request))) {
        denials_.note({request.peer.address, request.peer.identity, request.method + " " + request.path, denied->reason});
        reply(refused({denied->status, denied->reason}));
        return;
    }
    if (!parts || parts->empty()) {
        reply(refused(
            {404, fmt::format("there is nothing at {}; what can be asked is below /v1", log::quoted(request.path))}));
        return;
    }
    if (request.method == "GET") {
        arbiter_.read([this, request, parts = *parts, reply] { route(request, parts, reply); });
    } else {
        route(request, *parts, told_of(request, reply));
    }
}

rpc::Reply Api::told_of(const rpc::Request& request, const rpc::Reply& reply) {
    const Verb verb = demand_of(request).verb;
    if (verb != Verb::operate && verb != Verb::administer) {
        return reply;
    }
    AuditEntry entry;
    entry.event = "request-refused";
    entry.by = name_of(request.peer);
    entry.detail = fmt::format("{} {}: ", request.method, log::quoted(shortened(request.path, longest_in_event)));
    return [this, entry = std::move(entry), reply](rpc::Response response) mutable {
        // Who had no right to ask is in a `denied` already.
        if (response.status >= 400 && response.status != 403) {
            const nlohmann::json body = parse_json(response.body);
            entry.detail += shortened(body.is_object() ? body.value("error", "") : "", longest_in_event);
            arbiter_.note(std::move(entry));
        }
        reply(std::move(response));
    };
}

void Api::back_up(const rpc::Peer& peer, const rpc::Reply& reply) {
    backups_.take([this, by = name_of(peer), reply](rpc::Response response) {
        if (response.status == 200) {
            arbiter_.note({.event = "backup", .detail = "a copy of the store was given out", .by = by});
        }
        reply(std::move(response));
    });
}

void Api::route(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply) {
    if (arbiter_.has_given_up()) {
        reply(refused({503, "the arbiter is ending; its log says why"}));
        return;
    }
    const std::string& topic = parts.front();
    if (topic == "drives") {
        drives(request, parts, reply);
    } else if (topic == "blades") {
        blades(request, parts, reply);
    } else if (topic == "presentations" || topic == "withdrawals" || topic == "revocations" || topic == "leases") {
        leases(request, parts, reply);
    } else if (topic == "status" && parts.size() == 1) {
        if (request.method != "GET") {
            reply(no_such_method(request));
            return;
        }
        auto status = report_status(arbiter_.state());
        status["security"] = security_;
        reply(shown(arbiter_, std::move(status)));
    } else if (Enrolment::knows(topic)) {
        enrolment_.handle(request, parts, reply);
    } else if (topic == "backup" && parts.size() == 1) {
        // Whoever has it could be any blade that stands in it, so to look is not enough.
        request.method == "POST" ? back_up(request.peer, reply) : reply(no_such_method(request));
    } else if (topic == "events" && parts.size() == 1) {
        const auto after = query_number(request, "after", 0);
        const auto wait = query_wait(request);
        if (request.method != "GET") {
            reply(no_such_method(request));
        } else if (!after || !wait) {
            reply(refused({400, "after and wait_ms must be whole numbers"}));
        } else {
            long_poll_.events(*after, *wait, reply);
        }
    } else {
        reply(refused({404, fmt::format("there is nothing at {}", log::quoted(request.path))}));
    }
}

void Api::apply(const rpc::Peer& peer, Happening what, const rpc::Reply& reply,
                std::function<nlohmann::ordered_json(const Actions& actions)> answer) {
    arbiter_.apply(
        std::move(what),
        [reply, answer = std::move(answer)](const Actions& actions) {
            reply(actions.refusal ? refused(*actions.refusal) : answered(answer(actions)));
        },
        name_of(peer));
}

}  // namespace drivebay::arbiter
