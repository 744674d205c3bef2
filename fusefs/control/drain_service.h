// What drivebayfs tells gadgetd and the curious, by HTTP on a Unix socket (doc/PROTOCOL.md, "gadgetd and drivebayfs"):
// what a file cannot say. The same service on the management module and on a blade.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"
#include "lib/protocol/messages.h"
#include "lib/protocol/types.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/reactor.h"

namespace drivebay {

struct DrainAnswer {
    protocol::Outcome outcome = protocol::Outcome::unknown;
    std::string error;   // a sentence, unless drained
    bool opened = true;  // a file of it has been open here
};

struct DriveStatus {
    std::string name;
    std::string source;
    std::string state;  // "ready", "opening", "failed"
    std::uint64_t size = 0;
    std::string error;
};

struct ViewStatus {
    enum class State { online, offline, ended };
    Admission admission;
    State state = State::online;
    std::uint64_t in_flight = 0;
    std::uint64_t handles = 0;
    protocol::Counters counters;
};

struct ServiceStatus {
    std::string role;  // "management", "blade"
    std::vector<DriveStatus> drives;
    std::vector<ViewStatus> views;
};

// What the service asks: the management module's data path or a blade's catalogue. Called on the loop's thread.
class DrainSource {
public:
    virtual ~DrainSource() = default;

    // Calls back, on the loop's thread, once every request of that epoch through this process is complete, every handle
    // of it is closed and a FLUSH was answered (drained), or as soon as it is known that this cannot be (lost), or that
    // nobody can tell (unknown): an epoch never seen here is unknown. It may take for ever: the service sets the limit.
    virtual void drain(const std::string& drive, const std::string& blade, Epoch epoch,
                       std::function<void(DrainAnswer)> callback) = 0;
    virtual ServiceStatus status() = 0;
};

class DrainService {
public:
    // `limit`: a drain that takes longer is answered `unknown`.
    DrainService(rpc::Reactor& reactor, EventLoop& loop, DrainSource& source, Duration limit = std::chrono::seconds(60));
    // On the reactor's thread or after it has ended.
    ~DrainService();
    DrainService(const DrainService&) = delete;
    DrainService& operator=(const DrainService&) = delete;

    // Before the reactor runs. The folder must exist.
    Status listen(const rpc::Endpoint& endpoint);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace drivebay
