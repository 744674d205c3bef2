// The operator's HTTP requests (doc/PROTOCOL.md): found by path, one file a topic.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "arbiter/api/allowances.h"
#include "arbiter/api/backups.h"
#include "arbiter/api/enrolment.h"
#include "arbiter/api/long_poll.h"
#include "arbiter/api/request_body.h"
#include "arbiter/arbiter.h"
#include "arbiter/links/data_path_link.h"
#include "lib/base/denials.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class Api {
public:
    Api(Arbiter& arbiter, DataPathLink& data_path, LongPoll& long_poll, Backups& backups, Enrolment& enrolment, Denials& denials)
        : arbiter_(arbiter),
          data_path_(data_path),
          long_poll_(long_poll),
          backups_(backups),
          enrolment_(enrolment),
          denials_(denials) {}

    // What `status` tells of the network listeners' protection.
    void tell_security(std::string mode, std::string notice) {
        security_ = {{"mode", std::move(mode)}, {"notice", std::move(notice)}};
    }

    // What stands against them stays, and is told in the log.
    void set_allowances(Allowances allowances);

    void handle(const rpc::Request& request, const rpc::Reply& reply);

private:
    using Parts = std::vector<std::string>;  // of the path behind /v1
    void route(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);

    // api_drives.cc
    void drives(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    void add_drive(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply);
    void probe_drive(const rpc::Peer& peer, const protocol::Probe& probe, const rpc::Reply& reply);
    // One that was just added or refreshed. Somebody else may have removed it since: then its name alone.
    nlohmann::ordered_json report_known_drive(const std::string& name) const;
    // api_blades.cc
    void blades(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    // api_leases.cc
    void leases(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    void present(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply);
    std::optional<Refusal> judge(const Present& request) const;
    void revoke(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply);
    void withdraw(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply);
    void apply_to_leases(const rpc::Peer& peer, const char* key, Happening what, const rpc::Reply& reply);
    // One that was just asked about. It may have ended and been forgotten since.
    nlohmann::ordered_json report_known_lease(LeaseId id) const;

    // Applies `what` for `peer`; its refusal, or else `answer`, is the reply.
    void apply(const rpc::Peer& peer, Happening what, const rpc::Reply& reply,
               std::function<nlohmann::ordered_json(const Actions& actions)> answer);
    // What is replied to a request that would change something, or take a copy of all: a refusal is an event too.
    rpc::Reply told_of(const rpc::Request& request, const rpc::Reply& reply);
    void back_up(const rpc::Peer& peer, const rpc::Reply& reply);

    Arbiter& arbiter_;
    DataPathLink& data_path_;
    LongPoll& long_poll_;
    Backups& backups_;
    Enrolment& enrolment_;
    Denials& denials_;
    Allowances allowances_;
    nlohmann::ordered_json security_;
};

rpc::Response no_such_method(const rpc::Request& request);

// A whole number of a query, `otherwise` where it is absent; nothing where it is no number.
std::optional<std::uint64_t> query_number(const rpc::Request& request, const std::string& key, std::uint64_t otherwise);

// How long a request may wait: wait_ms, at most an hour.
std::optional<Duration> query_wait(const rpc::Request& request);

}  // namespace drivebay::arbiter
