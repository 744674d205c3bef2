// The keeper: the process that a mounted filesystem belongs to. It holds what must outlive a crash (KeptSession), and
// starts the server, this very program, again whenever that dies: to whoever has a file open it was a pause. It has no
// other work, no thread and no allocation that grows, so that it does not die itself; if it does, its server ends with it,
// and with both the mount.
//
//   SIGTERM, SIGINT   passed on: the server ends in order, and the keeper with it
//   SIGHUP            passed on
//   SIGUSR2           the server is killed and started anew from the program's file: how an upgrade takes effect
#pragma once

#include <string>
#include <vector>

#include "fusefs/keeper/kept_session.h"
#include "lib/program/daemon.h"

namespace drivebay {

struct KeeperSettings {
    std::string program;                 // path; what stands there is started each time
    std::vector<std::string> arguments;  // the program's own name first
    std::string folder;                  // that relative paths among the arguments are meant from
    bool in_background = false;
};

// Returns the exit status: 0 once the filesystem is unmounted, by whomever; else of the server that could not be started.
int keep(KeptSession session, const KeeperSettings& settings, program::Readiness& readiness);

}  // namespace drivebay
