#include "arbiter/api/enrolment.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>

#include "arbiter/api/api.h"
#include "arbiter/api/respond.h"
#include "arbiter/api/rights.h"
#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {
namespace {

using Json = nlohmann::ordered_json;

WallSeconds wall_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
    char name[HOST_NAME_MAX + 1] = {};
    ::gethostname(name, HOST_NAME_MAX);
    return name;
}

// Names and addresses that this machine has now.
std::vector<std::string> own_addresses() {
    std::vector<std::string> found = {"localhost"};
    if (const std::string name = host_name(); check_name("module", name)) {
        found.push_back(name);
    }
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) {
        return found;
    }
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
        const int family = one->ifa_addr == nullptr ? AF_UNSPEC : one->ifa_addr->sa_family;
        char text[NI_MAXHOST];
        const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        if ((family == AF_INET || family == AF_INET6) && found.size() < 32 &&
            ::getnameinfo(one->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 &&
            std::string_view(text).find('%') == std::string_view::npos) {
            found.emplace_back(text);
        }
    }
    ::freeifaddrs(list);
    return found;
}

Refusal without_authority() {
    return {409, "there is no authority yet that could let anybody in: make one on the management module with: drivebay pki init"};
}

int status_for(const Error& error) { return error.code == EACCES ? 403 : error.code == EEXIST ? 409 : 400; }

Enrolment::IsOut everybody_called(tls::Identity::Kind kind, const std::string& name) {
    return [kind, name](const rpc::Peer& peer) { return tls::is_of(peer.identity, kind, name); };
}

Json certificate_answer(const tls::Issued& issued, const Registry& registry) {
    return {{"certificate", issued.certificate}, {"authority", registry.authority_pem()}, {"end", issued.end}};
}

}  // namespace

bool Enrolment::knows(const std::string& topic) {
    return topic == "pki" || topic == "enrolments" || topic == "enroll" || topic == "renew" || topic == "operators";
}

void Enrolment::handle(const rpc::Request& request, const std::vector<std::string>& parts, const rpc::Reply& reply) {
    const std::string& topic = parts.front();
    const bool posts = request.method == "POST" && parts.size() == 1;
    const bool deletes = request.method == "DELETE" && parts.size() == 2;
    if (topic == "pki" && posts) {
        begin(request, reply);
    } else if (!registry_.is_there()) {
        reply(refused(without_authority()));
    } else if (topic == "pki" && request.method == "GET" && parts.size() == 1) {
        show(reply);
    } else if (topic == "enrolments" && posts) {
        make_token(request, reply);
    } else if (topic == "enrolments" && deletes) {
        revoke(tls::Identity::Kind::blade, parts[1], request, reply);
    } else if (topic == "operators" && posts) {
        add_operator(request, reply);
    } else if (topic == "operators" && deletes) {
        revoke(tls::Identity::Kind::operator_, parts[1], request, reply);
    } else if (topic == "enroll" && posts) {
        enroll(request, reply);
    } else if (topic == "renew" && posts) {
        renew(request, reply);
    } else {
        reply(no_such_method(request));
    }
}

std::optional<Refusal> Enrolment::refusal_to_forget(const std::string& blade) const {
    if (!registry_.is_in(blade, wall_now())) {
        return std::nullopt;
    }
    return Refusal{409, fmt::format("blade {} has a certificate, or a token for one, and the next blade of that name would be open to "
                                    "its key; shut it out first with: drivebay unenroll {}",
                                    blade, blade)};
}

void Enrolment::begin(const rpc::Request& request, const rpc::Reply& reply) {
    const auto body = parse_json(request.body);
    const auto listed = body.is_object() ? body.value("addresses", nlohmann::json::array()) : nlohmann::json();
    const bool fits = listed.is_array() && std::all_of(listed.begin(), listed.end(), [](const auto& one) { return one.is_string(); });
    const auto more = fits ? listed.get<std::vector<std::string>>() : std::vector<std::string>();
    if (!fits) {
        reply(refused({400, "\"addresses\" must be an array of names and addresses"}));
        return;
    }
    if (registry_.is_there() && more.empty()) {
        reply(refused({409, "there is an authority already; blades are enrolled with: drivebay enroll BLADE"}));
        return;
    }
    const WallSeconds now = wall_now();
    Status done = success();
    if (!registry_.is_there()) {
        const std::string name = host_name();
        done = registry_.begin(check_name("module", name) ? name : "module", own_addresses(), now);
        if (done) {
            note(request, "authority made", "", "");
        }
    }
    if (done) {
        const auto added = registry_.add_addresses(more, now);
        done = added ? success() : Status(added.error());
    }
    callbacks_.on_certificates();
    if (!done) {
        reply(refused({status_for(done.error()), done.error().message}));
        return;
    }
    keep(reply, {{"module", registry_.module()},
                 {"fingerprint", tls::to_base64url(registry_.fingerprint())},
                 {"addresses", registry_.addresses()}});
}

void Enrolment::show(const rpc::Reply& reply) {
    Json issued = Json::array();
    const WallSeconds now = wall_now();
    for (const Registry::Certified& one : registry_.issued()) {
        if (one.end > now) {
            issued.push_back({{"identity", one.identity}, {"serial", one.serial}, {"end", one.end}});
        }
    }
    reply(answered({{"module", registry_.module()},
                    {"fingerprint", tls::to_base64url(registry_.fingerprint())},
                    {"addresses", registry_.addresses()},
                    {"issued", std::move(issued)}}));
}

void Enrolment::make_token(const rpc::Request& request, const rpc::Reply& reply) {
    auto body = RequestBody::parse(request.body);
    const std::string blade = body ? body->text("blade") : "";
    if (!body || body->error()) {
        reply(refused({400, body ? body->error()->message : body.error().message}));
        return;
    }
    if (Status fits = check_name("blade", blade); !fits) {
        reply(refused({400, fits.error().message}));
        return;
    }
    const auto give = [this, request, blade, reply] {
        const std::string token = registry_.make_token(blade, wall_now());
        note(request, "token made", blade, "");
        keep(reply, {{"blade", blade}, {"token", token}, {"life_s", Registry::life_of_token}});
    };
    if (arbiter_.state().blades.contains(blade)) {
        return give();
    }
    arbiter_.apply(
        AddBlade{blade},
        [this, blade, give, reply](const Actions& actions) {
            actions.refusal && !arbiter_.state().blades.contains(blade) ? reply(refused(*actions.refusal)) : give();
        },
        name_of(request.peer));
}

// The one request of somebody who has no certificate.
void Enrolment::enroll(const rpc::Request& request, const rpc::Reply& reply) {
    auto body = RequestBody::parse(request.body);
    const std::string blade = body ? body->text("blade") : "";
    const std::string secret = body ? body->text("secret") : "";
    const std::string csr = body ? body->text("request") : "";
    const std::string called = body ? body->text_or("called", "") : "";
    if (!body || body->error()) {
        reply(refused({400, body ? body->error()->message : body.error().message}));
        return;
    }
    const auto bytes = tls::from_base64url(secret);
    if (!bytes || !check_name("blade", blade)) {
        reply(refused({400, "this is no blade's name with a token's secret"}));
        return;
    }
    const auto issued = registry_.enroll(blade, *bytes, csr, wall_now());
    if (!issued) {
        // Of strangers, as many as they like.
        denials_.note({request.peer.address, request.peer.identity, "an enrolment as " + blade, issued.error().message});
        const bool is_token = issued.error().code == EACCES;
        reply(refused({status_for(issued.error()),
                       issued.error().message +
                           (is_token ? fmt::format("; ask for another with: drivebay enroll {}", blade) : "")}));
        return;
    }
    note(request, "enrolled", blade, "");
    // The data path's clients hold the name that they typed against its certificate.
    take_addresses(request, {called});
    keep(reply, certificate_answer(*issued, registry_), everybody_called(tls::Identity::Kind::blade, blade));
}

void Enrolment::renew(const rpc::Request& request, const rpc::Reply& reply) {
    auto body = RequestBody::parse(request.body);
    const std::string csr = body ? body->text("request") : "";
    const auto identity = tls::parse_identity(request.peer.identity);
    if (!body || body->error() || !identity) {
        reply(refused({400, identity ? "\"request\" must be a request for a certificate" : "whoever renews shows a certificate"}));
        return;
    }
    auto renewed = registry_.renew(*identity, request.peer.serial, csr, wall_now());
    if (!renewed) {
        reply(refused({status_for(renewed.error()), renewed.error().message}));
        return;
    }
    Json answer = certificate_answer(renewed->issued, registry_);
    if (!renewed->is_new && kept_ == asked_) {
        reply(answered(answer));
        return;
    }
    if (renewed->is_new) {
        note(request, "renewed", blade_of(request.peer), "");
    }
    keep(reply, std::move(answer), [retired = std::move(renewed->retired)](const rpc::Peer& peer) {
        return std::any_of(retired.begin(), retired.end(), [&](const auto& one) { return one.serial == peer.serial; });
    });
}

void Enrolment::add_operator(const rpc::Request& request, const rpc::Reply& reply) {
    auto body = RequestBody::parse(request.body);
    const std::string name = body ? body->text("name") : "";
    const auto role = tls::parse_role(body ? body->text("role") : "");
    if (!body || body->error() || !role) {
        reply(refused({400, !body ? body.error().message : body->error() ? body->error()->message : role.error().message}));
        return;
    }
    if (Status fits = check_name("operator", name); !fits) {
        reply(refused({400, fits.error().message}));
        return;
    }
    const auto key = tls::make_key();
    const auto pem = key ? tls::to_pem(key->get()) : Result<std::string>(key.error());
    if (!pem) {
        reply(refused({503, pem.error().message}));
        return;
    }
    const WallSeconds now = wall_now();
    registry_.revoke(tls::Identity::Kind::operator_, name, now);
    const auto issued = registry_.issue({tls::Identity::Kind::operator_, name, *role}, key->get(), now);
    if (!issued) {
        reply(refused({503, issued.error().message}));
        return;
    }
    note(request, "operator added", "", fmt::format("{} as {}", name, tls::to_string(*role)));
    Json answer = certificate_answer(*issued, registry_);
    answer["key"] = *pem;
    keep(reply, std::move(answer), everybody_called(tls::Identity::Kind::operator_, name));
}

// All of that name that are on the list are counted, and its connections ended whatever they began with: so a request that could
// not be kept is made good by the next.
void Enrolment::revoke(tls::Identity::Kind kind, const std::string& name, const rpc::Request& request,
                       const rpc::Reply& reply) {
    const bool is_blade = kind == tls::Identity::Kind::blade;
    const bool was_in = is_blade && registry_.is_in(name, wall_now());
    registry_.revoke(kind, name, wall_now());
    const std::size_t revoked = registry_.count_revoked(kind, name);
    if (revoked == 0 && !was_in) {
        return keep(
            [reply, name, is_blade](const rpc::Response& kept) {
                reply(kept.status != 200 ? kept
                                         : refused({404, fmt::format("{} {} has no certificate that could be revoked",
                                                                     is_blade ? "blade" : "operator", log::quoted(name))}));
            },
            Json::object(), everybody_called(kind, name));
    }
    note(request, is_blade ? "unenrolled" : "operator removed", is_blade ? name : "", is_blade ? "" : name);
    Json answer{{"name", name}, {"revoked", revoked}};
    keep(reply, std::move(answer), everybody_called(kind, name));
}

void Enrolment::take_addresses(const rpc::Request& request, const std::vector<std::string>& addresses) {
    if (addresses.front().empty()) {
        return;
    }
    const auto added = registry_.add_addresses(addresses, wall_now());
    if (!added) {
        log::warning("a name of this module was not taken", {{"peer", request.peer.address}, {"reason", added.error().message}});
    } else if (*added) {
        callbacks_.on_certificates();
    }
}

void Enrolment::keep(const rpc::Reply& reply, Json answer, IsOut is_out) {
    const auto written = std::make_shared<Status>(success());
    arbiter_.disk().run(
        [written, writings = registry_.writings(wall_now())] { *written = Registry::write(writings); },
        [this, written, number = ++asked_, reply, answer = std::move(answer), is_out = std::move(is_out)] {
            if (is_out) {
                callbacks_.on_revoked(is_out);
            }
            if (!*written) {
                log::error("what was decided could not be kept", {{"reason", written->error().message}});
                reply(refused({503, "it could not be kept: " + written->error().message}));
            } else {
                kept_ = number;
                reply(answered(answer));
            }
        });
}

void Enrolment::note(const rpc::Request& request, std::string event, std::string blade, const std::string& detail) {
    AuditEntry entry;
    entry.event = std::move(event);
    entry.blade = std::move(blade);
    entry.by = name_of(request.peer);
    entry.detail = detail;
    arbiter_.note(std::move(entry));
}

}  // namespace drivebay::arbiter
