// Who may do what: the one place that decides.
//
// Whoever reaches the Unix socket (its file's mode decides that: root and the group drivebay) may do all, and so may whoever
// comes by TCP where the configuration says `security = "none"`. By TLS it depends on the certificate's identity. The data path
// is asked to keep the promise that everything rests on, so it is taken from the Unix socket only.
#pragma once

#include <optional>
#include <string>

#include "lib/rpc/server.h"

namespace drivebay::arbiter {

enum class Verb {
    look,        // status, leases, events
    look_at_own, // the same of one blade
    operate,     // presentations
    administer,  // drives' sources, blades, enrolment, a copy of the store, and what may lose a blade's writes
    enroll,      // with a token: of somebody who has no certificate yet
    renew,       // of one's own certificate
};

struct Demand {
    Verb verb = Verb::administer;
    std::string blade;  // of look_at_own: whose; empty: of whoever asks
};
// What a request asks for. What is not known here asks for the most.
Demand demand_of(const rpc::Request& request);

struct Denial {
    int status = 403;  // HTTP's; 401 where a certificate is wanted
    std::string reason;
};
// Nothing: it may.
std::optional<Denial> denial(const rpc::Peer& peer, const Demand& demand);

// The same for being a blade: its link, its session, its leases.
std::optional<Denial> denial_to_be(const rpc::Peer& peer, const std::string& blade);

// Whose identity is a blade's: its name; empty for everybody else.
std::string blade_of(const rpc::Peer& peer);

// For people: the proved identity, "root" or "uid 1000" of somebody on the Unix socket as the kernel tells, or else where
// it comes from.
std::string name_of(const rpc::Peer& peer);

}  // namespace drivebay::arbiter
