// Who may do what: the one place that decides.
#pragma once

#include "lib/rpc/channel.h"

namespace drivebay::arbiter {

enum class Verb {
    look,        // status, leases, events
    operate,     // drives, blades, presentations
    be_a_blade,  // the link of gadgetd
    be_the_data_path,
};

// Today: whoever reaches the Unix socket (its file's mode decides that) may do all; whoever reaches a TCP listener may
// look, operate and be a blade, which is why no listener is on a wildcard address by default. The data path is asked to
// keep the promise that everything rests on, so it is taken from the Unix socket only. When peers have verified
// identities (rpc::Peer::identity), the answer depends on them here, and nowhere else.
bool may(const rpc::Peer& peer, Verb verb);

}  // namespace drivebay::arbiter
