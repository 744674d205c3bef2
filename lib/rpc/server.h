// HTTP and WebSocket on the same listeners, TCP and Unix socket (peer credentials are read there).
// The only users of Boost.Beast on the serving side are this class and channel's implementation.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "lib/base/result.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/reactor.h"

namespace drivebay::rpc {

struct Request {
    std::string method;  // "GET", "POST", …
    std::string path;    // decoded, without the query
    std::map<std::string, std::string> query;
    std::string body;
    Peer peer;
};

struct Response {
    int status = 200;
    std::string body;  // JSON
};

// To be called once, now or later, on the reactor's thread. If it is dropped uncalled, the peer gets a 500.
// Calling it after the peer has gone does nothing.
using Reply = std::function<void(Response)>;

struct Handlers {
    std::function<void(Request, Reply)> on_request;
    // A WebSocket was opened on `path`. Keep `channel` to keep it open.
    std::function<void(const std::string& path, std::shared_ptr<Channel> channel)> on_channel;
};

class Server {
public:
    Server(Reactor& reactor, Handlers handlers);
    ~Server();  // ends every connection

    // A Unix socket's stale file is replaced; one that still answers is EADDRINUSE. Mode 0660.
    Status listen(const Endpoint& endpoint);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace drivebay::rpc
