// A stranger's NBD server as a drive of the management module.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fusefs/engine/drive.h"
#include "fusefs/engine/write_intent.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"

namespace drivebay {

struct RemoteDriveWish {
    std::string uri;
    bool read_only = false;
    bool trust_reconnect = false;
    WriteIntent::Mark mark_writes;  // empty: no mark
};

// An NbdDrive, Reconnect::plain with the limits' defaults, behind a write-intent mark if it is writable and its server
// not trusted. Callback as NbdDrive::open. A URI of another scheme is refused with a sentence; so is an export whose
// size is no multiple of 512.
void open_remote_drive(EventLoop& loop, RemoteDriveWish wish,
                       std::function<void(Result<std::unique_ptr<Drive>>)> callback);

}  // namespace drivebay
