// The bytes of one connection, plain or in TLS, with Beast's time limits; for lib/rpc alone. What Beast and Asio ask of an
// AsyncStream, so that HTTP and WebSocket are spoken over both alike.
#pragma once

#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "lib/tls/context.h"

namespace drivebay::rpc {

// TCP and Unix sockets alike.
using Socket = boost::asio::generic::stream_protocol::socket;

class Stream {
public:
    using Plain = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;
    using next_layer_type = Plain;
    using executor_type = Plain::executor_type;
    using Side = boost::asio::ssl::stream_base::handshake_type;

    explicit Stream(Socket socket) : plain_(std::make_unique<Plain>(std::move(socket))) {}
    explicit Stream(boost::asio::io_context& io) : plain_(std::make_unique<Plain>(io)) {}

    executor_type get_executor() { return plain_->get_executor(); }
    Plain& next_layer() { return *plain_; }
    const Plain& next_layer() const { return *plain_; }
    Socket& socket() { return plain_->socket(); }
    void expires_after(std::chrono::steady_clock::duration limit) { plain_->expires_after(limit); }
    void expires_never() { plain_->expires_never(); }
    // Of one that was moved away: nothing.
    void close() {
        if (plain_) {
            plain_->close();
        }
    }

    // Calls `done` when a client has begun to speak, or has gone. Until then, and until its handshake begins, it costs a server
    // nothing of TLS, and its words are left to the kernel.
    template <class Handler>
    void await_hello(Handler done) {
        plain_->socket().async_wait(Socket::wait_read, [this, done = std::move(done)](boost::beast::error_code error) {
            char first;
            if (!error && ::recv(socket().native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) {
                error = boost::asio::error::eof;
            }
            done(error);
        });
    }
    // From here on everything is TLS; `done` gets the handshake's outcome. The context is kept.
    template <class Handler>
    void begin_tls(std::shared_ptr<tls::Context> context, Side side, Handler done) {
        context_ = std::move(context);
        make_tls();
        tls_->async_handshake(side, std::move(done));
    }
    bool is_revoked(const std::string& serial) const {
        return context_ && context_->revocations() != nullptr && context_->revocations()->has(serial);
    }
    // Null where this is no TLS.
    const SSL* tls() { return tls_ ? tls_->native_handle() : nullptr; }

    template <class Buffers, class Handler>
    auto async_read_some(const Buffers& buffers, Handler&& handler) {
        return tls_ ? tls_->async_read_some(buffers, std::forward<Handler>(handler))
                    : plain_->async_read_some(buffers, std::forward<Handler>(handler));
    }
    template <class Buffers, class Handler>
    auto async_write_some(const Buffers& buffers, Handler&& handler) {
        return tls_ ? tls_->async_write_some(buffers, std::forward<Handler>(handler))
                    : plain_->async_write_some(buffers, std::forward<Handler>(handler));
    }

    // A WebSocket's end: its own close frames were the goodbye.
    template <class Handler>
    friend void async_teardown(boost::beast::role_type role, Stream& stream, Handler&& handler) {
        using boost::beast::websocket::async_teardown;
        async_teardown(role, *stream.plain_, std::forward<Handler>(handler));
    }

private:
    using Tls = boost::beast::ssl_stream<Plain&>;

    void make_tls() {
        SSL_CTX_up_ref(context_->get());
        boost::asio::ssl::context borrowed(context_->get());
        tls_ = std::make_unique<Tls>(*plain_, borrowed);
        // Ten thousand that are idle most of the time.
        SSL_set_mode(tls_->native_handle(), SSL_MODE_RELEASE_BUFFERS);
    }

    std::shared_ptr<tls::Context> context_;
    std::unique_ptr<Plain> plain_;
    std::unique_ptr<Tls> tls_;
};

}  // namespace drivebay::rpc
