// The calling side: one HTTP request for a command, a WebSocket that comes back by itself for a daemon.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/result.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/reactor.h"
#include "lib/rpc/server.h"
#include "lib/tls/context.h"

namespace drivebay::rpc {

// Of TCP connections; empty: they are plain. A Unix socket is always plain.
using tls::Secure;

// Blocks until the answer is there. ETIMEDOUT after `limit`; any error means that no answer was read, not that the
// request had no effect.
Result<Response> call(const Endpoint& endpoint, const std::string& method, const std::string& target,
                      const std::string& body, Duration limit, const Secure& secure = {});

// A WebSocket to one endpoint, opened again for ever (after 50 ms, rising to 1 s) until it is destroyed.
// Pings keep it honest: a peer silent for 5 s is taken for gone.
class Link {
public:
    struct Callbacks {
        std::function<void()> on_open;
        std::function<void(const nlohmann::json&)> on_message;
        // The link was lost, or could not be opened (`reason` changes only are worth a log line).
        std::function<void(const std::string& reason)> on_close;
    };

    Link(Reactor& reactor, Endpoint endpoint, std::string path, Callbacks callbacks, Secure secure = {});
    ~Link();

    bool is_open() const;
    // Dropped while the link is not open: state is sent whole again in on_open.
    void send(const nlohmann::json& message);
    // Drops the connection; it is opened again.
    void reconnect(const std::string& reason);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace drivebay::rpc
