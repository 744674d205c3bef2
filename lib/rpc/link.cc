#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "lib/rpc/channel_stream.h"
#include "lib/rpc/client.h"
#include "lib/rpc/reactor_impl.h"

namespace drivebay::rpc {

namespace asio = boost::asio;
namespace beast = boost::beast;

struct Link::Impl : std::enable_shared_from_this<Link::Impl> {
    Impl(Reactor& reactor, Endpoint where, std::string websocket_path, Callbacks calls, Secure security)
        : io(reactor.impl().io),
          endpoint(std::move(where)),
          path(std::move(websocket_path)),
          callbacks(std::move(calls)),
          secure(std::move(security)),
          resolver(io),
          retry(reactor) {}

    void connect() {
        socket.reset();
        socket.emplace(io);
        socket->next_layer().expires_after(std::chrono::seconds(5));
        const std::uint64_t round = ++attempt;
        if (endpoint.is_unix()) {
            const asio::local::stream_protocol::endpoint address(endpoint.path);
            socket->next_layer().next_layer().async_connect(address, on_connected(round));
            return;
        }
        resolver.async_resolve(endpoint.host, std::to_string(endpoint.port),
                               [self = shared_from_this(), round](const beast::error_code& error,
                                                                  const asio::ip::tcp::resolver::results_type& found) {
                                   if (round != self->attempt) {
                                       return;
                                   }
                                   if (error) {
                                       self->failed(error.message());
                                       return;
                                   }
                                   const asio::ip::tcp::endpoint address = found.begin()->endpoint();
                                   self->socket->next_layer().next_layer().async_connect(address, self->on_connected(round));
                               });
    }

    std::function<void(const beast::error_code&)> on_connected(std::uint64_t round) {
        return [self = shared_from_this(), round](const beast::error_code& error) {
            if (round != self->attempt) {
                return;
            }
            if (error) {
                self->failed(error.message());
                return;
            }
            if (!self->endpoint.is_unix()) {
                // Or a message that follows another waits for the peer's delayed acknowledgement of that, some 40 ms.
                beast::error_code ignored;
                self->socket->next_layer().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
            }
            self->endpoint.is_unix() || !self->secure ? self->shake_hands(round) : self->begin_tls(round);
        };
    }

    void begin_tls(std::uint64_t round) {
        auto context = secure();
        if (!context) {
            socket.reset();
            return failed(context.error().message);
        }
        socket->next_layer().begin_tls(std::move(*context), Stream::Side::client,
                                       [self = shared_from_this(), round](const beast::error_code& error) {
                                           if (round != self->attempt) {
                                               return;
                                           }
                                           if (!error) {
                                               return self->shake_hands(round);
                                           }
                                           const SSL* const tls = self->socket->next_layer().tls();
                                           const bool is_verdict = SSL_get_verify_result(tls) != X509_V_OK;
                                           self->failed("no TLS: " + (is_verdict ? tls::refusal_of(tls).reason : error.message()));
                                       });
    }

    void shake_hands(std::uint64_t round) {
        prepare(*socket);
        socket->async_handshake(endpoint.is_unix() ? "localhost" : endpoint.host, path,
                                [self = shared_from_this(), round](const beast::error_code& error) {
                                    if (round != self->attempt) {
                                        return;
                                    }
                                    if (error) {
                                        self->failed(error.message());
                                    } else {
                                        self->opened();
                                    }
                                });
    }

    void opened() {
        delay = shortest_delay;
        last_reason.clear();
        channel = std::make_shared<ChannelStream>(std::move(*socket), Peer{endpoint.is_unix(), 0, to_string(endpoint), false, "", ""});
        socket.reset();
        channel->on_message = [this](const nlohmann::json& message) { callbacks.on_message(message); };
        channel->on_close = [this](const std::string& reason) {
            channel.reset();
            failed(reason);
        };
        const std::shared_ptr<ChannelStream> opened_channel = channel;
        callbacks.on_open();
        opened_channel->start();
    }

    void failed(const std::string& reason) {
        const auto self = shared_from_this();
        retry.set(delay, [weak = weak_from_this()] {
            if (const auto alive = weak.lock()) {
                alive->connect();
            }
        });
        delay = std::min(delay * 2, longest_delay);
        if (std::exchange(last_reason, reason) != reason && callbacks.on_close) {
            callbacks.on_close(fmt::format("{}: {}", to_string(endpoint), reason));
        }
    }

    void shut() {
        ++attempt;
        callbacks = {};
        retry.cancel();
        resolver.cancel();
        if (channel) {
            std::exchange(channel, nullptr)->abandon();
        }
        if (socket) {
            socket->next_layer().close();
        }
    }

    static constexpr Duration shortest_delay = std::chrono::milliseconds(50);
    static constexpr Duration longest_delay = std::chrono::seconds(1);

    asio::io_context& io;
    Endpoint endpoint;
    std::string path;
    Callbacks callbacks;
    Secure secure;
    asio::ip::tcp::resolver resolver;
    Timer retry;
    Duration delay = shortest_delay;
    std::uint64_t attempt = 0;
    std::string last_reason;
    std::optional<WebSocket> socket;
    std::shared_ptr<ChannelStream> channel;
};

Link::Link(Reactor& reactor, Endpoint endpoint, std::string path, Callbacks callbacks, Secure secure)
    : impl_(std::make_shared<Impl>(reactor, std::move(endpoint), std::move(path), std::move(callbacks), std::move(secure))) {
    impl_->connect();
}

Link::~Link() { impl_->shut(); }

bool Link::is_open() const { return impl_->channel != nullptr; }

void Link::send(const nlohmann::json& message) {
    if (impl_->channel) {
        impl_->channel->send(message);
    }
}

void Link::reconnect(const std::string& reason) {
    if (impl_->channel) {
        impl_->channel->close(reason);
    }
}

}  // namespace drivebay::rpc
