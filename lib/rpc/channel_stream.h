// A Channel over a Beast WebSocket on any Asio stream socket; for lib/rpc alone. Both sides use it after the handshake.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <memory>
#include <string>

#include "lib/rpc/channel.h"
#include "lib/rpc/stream.h"

namespace drivebay::rpc {

using WebSocket = boost::beast::websocket::stream<Stream>;

// Larger messages end the channel.
inline constexpr std::size_t largest_message = 4 << 20;
// What a peer may leave unread before it is taken for dead.
inline constexpr std::size_t largest_backlog = 16 << 20;

// Time limits and sizes, before the handshake. A peer silent for 5 s (pings included) is taken for gone.
void prepare(WebSocket& socket);

class ChannelStream : public Channel, public std::enable_shared_from_this<ChannelStream> {
public:
    ChannelStream(WebSocket socket, Peer peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

    // Begins to read; the callbacks are to be set by then. Keeps itself, and `owner`, alive until the end.
    void start(std::shared_ptr<void> owner = nullptr);

    void send(const nlohmann::json& message) override;
    void close(const std::string& reason) override;
    const Peer& peer() const override { return peer_; }
    // Ends the connection at once, without a farewell.
    void cut(const std::string& reason) { finish(reason); }
    // The same without a callback.
    void abandon();

private:
    void read();
    void write();
    void begin_close();
    void finish(const std::string& reason);

    WebSocket socket_;
    Peer peer_;
    boost::beast::flat_buffer incoming_;
    std::deque<std::string> outgoing_;
    std::size_t outgoing_bytes_ = 0;
    bool writing_ = false;
    bool closing_ = false;
    bool finished_ = false;
    std::string close_reason_;
    std::shared_ptr<void> owner_;
};

}  // namespace drivebay::rpc
