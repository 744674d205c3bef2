// The part of the API that lets people and blades in, and throws them out: /v1/pki, /v1/enrolments, /v1/enroll, /v1/renew,
// /v1/operators. What it answers is on the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "arbiter/arbiter.h"
#include "arbiter/pki/registry.h"
#include "lib/base/denials.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class Enrolment {
public:
    // Whether somebody was shut out.
    using IsOut = std::function<bool(const rpc::Peer&)>;
    struct Callbacks {
        // There is an authority now, or the module's own certificates are new.
        std::function<void()> on_certificates;
        // Connections of certificates that are good no longer are to end.
        std::function<void(const IsOut& is_out)> on_revoked;
    };
    Enrolment(Arbiter& arbiter, Registry& registry, Denials& denials, Callbacks callbacks)
        : arbiter_(arbiter), registry_(registry), denials_(denials), callbacks_(std::move(callbacks)) {}

    // Whether `topic` is one of its own. The right to ask was seen to before.
    static bool knows(const std::string& topic);
    // Why a blade cannot be forgotten: its key would be good for the next one of that name.
    std::optional<Refusal> refusal_to_forget(const std::string& blade) const;
    void handle(const rpc::Request& request, const std::vector<std::string>& parts, const rpc::Reply& reply);

private:
    void begin(const rpc::Request& request, const rpc::Reply& reply);
    void show(const rpc::Reply& reply);
    void make_token(const rpc::Request& request, const rpc::Reply& reply);
    void enroll(const rpc::Request& request, const rpc::Reply& reply);
    void renew(const rpc::Request& request, const rpc::Reply& reply);
    void add_operator(const rpc::Request& request, const rpc::Reply& reply);
    void revoke(tls::Identity::Kind kind, const std::string& name, const rpc::Request& request, const rpc::Reply& reply);
    // Makes what has changed durable, then ends the connections of those who are out, then answers.
    void keep(const rpc::Reply& reply, nlohmann::ordered_json answer, IsOut is_out = nullptr);
    void note(const rpc::Request& request, std::string event, std::string blade, const std::string& detail);
    void take_addresses(const rpc::Request& request, const std::vector<std::string>& addresses);

    Arbiter& arbiter_;
    Registry& registry_;
    Denials& denials_;
    Callbacks callbacks_;
    std::uint64_t asked_ = 0;  // writes
    std::uint64_t kept_ = 0;   // the last of them that is on the disk
};

}  // namespace drivebay::arbiter
