// What must outlive the process that serves a mounted filesystem, and its way from the keeper to each server: inherited
// descriptors, named by one variable of the environment.
#pragma once

#include <optional>
#include <string>

#include "fusefs/keeper/kept_memory.h"
#include "lib/base/fd.h"
#include "lib/base/result.h"

namespace drivebay {

struct KeptSession {
    UniqueFd device;          // /dev/fuse, nonblocking; the mount lives as long as somebody holds it
    std::string mount_point;  // absolute, without links
    KeptMemory memory;
};

// A server's side of it.
struct HandedOver {
    KeptSession session;
    UniqueFd ready;              // a byte in it tells the keeper that the server serves
    bool in_background = false;  // the keeper is: who started it must not be kept waiting by an open standard error
    bool suspects = false;       // servers crashed in quick succession: over one of the requests, perhaps
};

// What this process was given by a keeper; nothing where there is none above it. EPROTO: it cannot be read.
std::optional<Result<HandedOver>> handed_over();

// For the keeper, between fork(2) and execv(2): makes the descriptors inheritable, and names them. False: it cannot.
bool hand_over(const KeptSession& session, int ready, bool in_background, bool suspects);

}  // namespace drivebay
