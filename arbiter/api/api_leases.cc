#include <fmt/format.h>

#include <charconv>

#include "arbiter/api/api.h"
#include "arbiter/api/lease_report.h"
#include "arbiter/api/respond.h"
#include "arbiter/api/rights.h"
#include "arbiter/api/status_report.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {
namespace {

constexpr std::size_t longest_request = 128;

// The access of a request, or the sentence that refuses it.
std::variant<Mode, Refusal> read_access(const std::string& text) {
    if (const auto mode = parse_mode(text)) {
        return *mode;
    }
    if (text == "private" || text == "cluster") {
        return Refusal{400, fmt::format("{} access does not exist yet; use read or write", text)};
    }
    return Refusal{400, fmt::format("access {} is unknown; it is read or write", log::quoted(text))};
}

std::optional<Policy> read_policy(const std::string& text) {
    if (text == "queue") {
        return Policy::queue;
    }
    if (text == "no-queue") {
        return Policy::no_queue;
    }
    if (text == "take") {
        return Policy::take;
    }
    if (text == "force") {
        return Policy::force;
    }
    return std::nullopt;
}

std::optional<Duration> read_deadline(RequestBody& body) {
    const auto milliseconds = body.number("deadline_ms");
    return milliseconds ? std::optional<Duration>(std::chrono::milliseconds(*milliseconds)) : std::nullopt;
}

}  // namespace

void Api::leases(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply) {
    if (parts.front() != "leases") {
        auto body = RequestBody::parse(request.body);
        if (parts.size() != 1 || request.method != "POST") {
            reply(no_such_method(request));
        } else if (!body) {
            reply(refused({400, body.error().message}));
        } else if (parts.front() == "presentations") {
            present(request.peer, *body, reply);
        } else if (parts.front() == "revocations") {
            revoke(request.peer, *body, reply);
        } else {
            withdraw(request.peer, *body, reply);
        }
        return;
    }
    if (parts.size() == 1) {
        reply(request.method == "GET" ? shown(arbiter_, {{"leases", report_leases(arbiter_.state(), blade_of(request.peer))}})
                                      : no_such_method(request));
        return;
    }
    LeaseId id = 0;
    const std::string& text = parts[1];
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
    if (parts.size() != 2 || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
        reply(refused({404, fmt::format("there is no lease {}", log::quoted(text))}));
        return;
    }
    if (request.method == "DELETE") {
        apply(request.peer, LeaveQueue{id}, reply, [this, id](const Actions&) { return report_known_lease(id); });
        return;
    }
    const auto until = request.query.find("until");
    const bool until_gone = until != request.query.end() && until->second == "gone";
    const auto wait = query_wait(request);
    if (request.method != "GET") {
        reply(no_such_method(request));
    } else if (!wait || (until != request.query.end() && !until_gone && until->second != "loaded")) {
        reply(refused({400, "wait_ms must be a whole number, and until is loaded or gone"}));
    } else {
        long_poll_.lease(id, !until_gone, *wait, reply);
    }
}

void Api::set_allowances(Allowances allowances) {
    allowances_ = std::move(allowances);
    for (const auto& [id, lease] : arbiter_.state().leases) {
        const bool is_blades = lease.slot >= 0;
        if (is_blades && !allowances_.allow(lease.blade, lease.drive, lease.mode)) {
            log::warning("a drive is presented that `allow` does not let its blade have; withdraw it",
                         {{"drive", lease.drive}, {"blade", lease.blade}, {"access", to_string(lease.mode)}});
        }
    }
}

// What `allow` says against it.
std::optional<Refusal> Api::judge(const Present& request) const {
    for (const std::string& blade : request.blades) {
        if (!allowances_.allow(blade, request.drive, request.access)) {
            return Refusal{403, fmt::format("blade {} may not {} the drive {}: `allow` in arbiter.cfg says who may have what",
                                            log::quoted(blade), to_string(request.access), log::quoted(request.drive))};
        }
    }
    return std::nullopt;
}

void Api::present(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply) {
    Present request;
    request.drive = body.text("drive");
    request.blades = body.names_or_all("blades", request.all);
    const std::string access = body.text_or("access", "read");
    const auto slot = body.number("slot");
    request.slot = slot ? std::optional<int>(static_cast<int>(*slot)) : std::nullopt;
    const std::string policy = body.text_or("policy", "queue");
    request.request = body.text_or("request", "");
    request.deadline = read_deadline(body);
    if (body.error()) {
        reply(refused({400, body.error()->message}));
        return;
    }
    if (request.request.size() > longest_request) {
        reply(refused({400, fmt::format("a request's id has {} characters at most", longest_request)}));
        return;
    }
    const auto mode = read_access(access);
    if (const auto* refusal = std::get_if<Refusal>(&mode)) {
        reply(refused(*refusal));
        return;
    }
    request.access = std::get<Mode>(mode);
    if (const auto known = read_policy(policy)) {
        request.policy = *known;
    } else {
        reply(refused(
            {400, fmt::format("policy {} is unknown; it is queue, no-queue, take or force", log::quoted(policy))}));
        return;
    }
    if (request.all) {
        // What is judged is what gets it: not a blade that is added until the request's turn comes.
        for (const auto& [name, blade] : arbiter_.state().blades) {
            request.blades.push_back(name);
        }
    }
    if (const auto refusal = judge(request)) {
        denials_.note({peer.address, name_of(peer), "a presentation", refusal->message});
        reply(refused(*refusal));
        return;
    }
    apply_to_leases(peer, "presentations", std::move(request), reply);
}

void Api::withdraw(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply) {
    Withdraw request;
    request.drive = body.text("drive");
    request.blades = body.names_or_all("blades", request.all);
    request.force = body.flag_or("force", false);
    request.deadline = read_deadline(body);
    if (body.error()) {
        reply(refused({400, body.error()->message}));
        return;
    }
    apply_to_leases(peer, "withdrawals", std::move(request), reply);
}

void Api::revoke(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply) {
    const auto lease = body.number("lease");
    if (!lease || body.error()) {
        reply(refused({400, body.error() ? body.error()->message : "\"lease\" must be the number of a lease"}));
        return;
    }
    apply_to_leases(peer, "revocations", Revoke{static_cast<LeaseId>(*lease)}, reply);
}

void Api::apply_to_leases(const rpc::Peer& peer, const char* key, Happening what, const rpc::Reply& reply) {
    apply(peer, std::move(what), reply, [this, key](const Actions& actions) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const LeaseId id : actions.leases) {
            list.push_back(report_known_lease(id));
        }
        return nlohmann::ordered_json{{key, std::move(list)}};
    });
}

nlohmann::ordered_json Api::report_known_lease(LeaseId id) const {
    const auto found = arbiter_.state().leases.find(id);
    return found == arbiter_.state().leases.end() ? nlohmann::ordered_json{{"id", id}, {"state", "gone"}}
                                                  : report_lease(arbiter_.state(), found->second);
}

}  // namespace drivebay::arbiter
