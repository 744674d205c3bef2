// One WebSocket that carries JSON messages, whichever side opened it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace drivebay::rpc {

// Who is at the other end.
struct Peer {
    bool local = false;  // came by the Unix socket
    uid_t uid = 0;       // of a local peer
    std::string address; // for people: "unix uid=0" or "10.0.0.5:4312"
    bool secure = false; // came by TLS
    std::string identity; // of a verified certificate (lib/tls/identity.h); empty: none was shown
    std::string serial;   // that certificate's
};

// Lives on one reactor's thread; every call and callback happens there.
class Channel {
public:
    virtual ~Channel() = default;

    // Queues a message. After the end of the channel it does nothing.
    virtual void send(const nlohmann::json& message) = 0;
    // Sends what is queued and ends the channel; `reason` reaches the peer's on_close.
    virtual void close(const std::string& reason) = 0;
    virtual const Peer& peer() const = 0;

    // Set by the owner before it returns to the reactor. on_close comes once, also after close(), and is the last.
    // A frame that is no JSON object ends the channel by itself.
    std::function<void(const nlohmann::json&)> on_message;
    std::function<void(const std::string& reason)> on_close;
};

}  // namespace drivebay::rpc
