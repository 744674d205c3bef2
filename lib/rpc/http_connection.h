// One accepted connection while it speaks HTTP: requests one after the other, until it ends or becomes a WebSocket. For
// lib/rpc alone.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "lib/rpc/channel_stream.h"
#include "lib/rpc/server.h"

namespace drivebay::rpc {

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
public:
    // `handlers` must outlive the connection or abandon() be called before.
    HttpConnection(Stream stream, Peer peer, const Handlers& handlers)
        : stream_(std::move(stream)), silence_(stream_.get_executor()), peer_(std::move(peer)), handlers_(&handlers) {}

    void start_plain() { read(); }
    // When this client has begun to speak, `turn` gets what begins its handshake, to be called then or later.
    // `proved` is called once it is known who this is, or the connection has ended before.
    void start_tls(std::shared_ptr<tls::Context> context, std::function<void(std::function<void()>)> turn,
                   std::function<void()> proved);
    const Peer& peer() const { return peer_; }
    // Ends it, its channel included, without a callback.
    void abandon();
    // The same; its channel's owner hears of it.
    void cut(const std::string& reason);

private:
    // Makes sure that each request gets one answer, even if its handler drops the reply.
    class Answer;

    void shake_hands(std::shared_ptr<tls::Context> context);
    void secured(const boost::beast::error_code& error);
    bool is_unproved() const { return peer_.secure && peer_.identity.empty(); }
    void read();
    void handle();
    void upgrade();
    void write(Response response);

    static constexpr std::uint64_t largest_body = 1 << 20;
    static constexpr std::chrono::seconds longest_idle{30};
    // Of a stranger, for whom there is but one request.
    static constexpr std::uint64_t largest_unproved_body = 16 << 10;
    static constexpr std::chrono::seconds longest_unproved{5};

    // Calls what it holds at the latest when it goes.
    struct Once {
        ~Once() { call(); }
        void call() {
            if (const auto callback = std::exchange(callback_, nullptr)) {
                callback();
            }
        }
        std::function<void()> callback_;
    };

    Stream stream_;
    boost::asio::steady_timer silence_;  // of one that was to begin a handshake
    Once proved_;
    Peer peer_;
    const Handlers* handlers_;
    boost::beast::flat_buffer buffer_;
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    boost::beast::http::response<boost::beast::http::string_body> response_;
    std::optional<WebSocket> upgrading_;
    std::weak_ptr<ChannelStream> channel_;
};

}  // namespace drivebay::rpc
