// The keeper: the process that a mounted filesystem belongs to. It holds what must outlive a crash (KeptSession), and
// starts the server, this very program, again whenever that dies: to whoever has a file open it was a pause. It has no
// other work, no thread and no allocation that grows, so that it does not die itself; if it does, its server ends with it,
// and with both the mount.
//
// A server that hangs is as bad as one that died, and is killed. That is looked after where a service manager asks for signs
// of life ($WATCHDOG_USEC, the limit for this process): the server gives one to its keeper 30 times in that limit, and may
// miss five while it serves, all of them while it starts. The keeper gives its own to the manager for as long as it has a
// server that does, or sees to it that there is one.
//
//   SIGTERM, SIGINT   passed on: the server ends in order, and the keeper with it
//   SIGHUP            passed on
//   SIGUSR2           the server is killed and started anew from the program's file: how an upgrade takes effect
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fusefs/keeper/kept_session.h"
#include "lib/base/clock.h"
#include "lib/program/daemon.h"

namespace drivebay {

struct KeeperSettings {
    std::string program;                 // path; what stands there is started each time
    std::vector<std::string> arguments;  // the program's own name first
    std::string folder;                  // that relative paths among the arguments are meant from
    bool in_background = false;
};

// How often a keeper is to hear from its server, if at all. Both ask.
std::optional<Duration> server_beat_interval();

// What the server says, a byte each, by the pipe that it was given (HandedOver::ready).
constexpr char said_ready = 'r';  // program::Readiness: it serves
constexpr char said_alive = '.';
constexpr char said_ending = 'e';  // it was unmounted or told to end

// Returns the exit status: 0 once the filesystem is unmounted, by whomever; else of the server that could not be started.
int keep(KeptSession session, const KeeperSettings& settings, program::Readiness& readiness);

}  // namespace drivebay
