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
#include "lib/tls/context.h"

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
    // A TLS handshake failed; `identity` is what the other side's certificate claims, if it came so far. Optional.
    std::function<void(const Peer& peer, const std::string& identity, const std::string& reason)> on_refused = {};
};

class Server {
public:
    Server(Reactor& reactor, Handlers handlers);
    ~Server();  // ends every connection

    // A Unix socket's stale file is replaced; one that still answers is EADDRINUSE. Mode 0660.
    Status listen(const Endpoint& endpoint);

    // TCP connections that come from now on speak TLS. A WebSocket is then for those alone that have shown a certificate,
    // and of strangers there are few at a time, as of connections of one identity.
    void use_tls(std::shared_ptr<tls::Context> context);
    // Ends, now, the connections for which `condition` holds. Not from inside a callback of one of them.
    void cut(const std::function<bool(const Peer&)>& condition, const std::string& reason);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace drivebay::rpc
