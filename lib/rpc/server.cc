#include "lib/rpc/server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <list>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/seldom.h"
#include "lib/base/strangers.h"
#include "lib/rpc/channel_stream.h"
#include "lib/rpc/http_connection.h"
#include "lib/rpc/reactor_impl.h"

namespace drivebay::rpc {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

// Connections past this many are closed at once, so that idle strangers cannot take every descriptor.
constexpr std::size_t most_connections = 16384;
// Of TLS clients that have not yet proved who they are, all together and from one address.
constexpr std::size_t most_strangers = 512;
constexpr std::size_t most_strangers_of_one = 64;
// Of one identity. A blade has a link, and something to ask now and then.
constexpr std::size_t most_of_one_identity = 64;
constexpr std::chrono::milliseconds pause_without_descriptors(100);

// The file of a Unix socket whose server has died stays; one that still answers is not ours to remove.
Status remove_stale_socket(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        return success();
    }
    if (!S_ISSOCK(status.st_mode)) {
        return Error{EEXIST, fmt::format("{} is there already and is no socket; remove it or choose another path", path)};
    }
    asio::io_context io;
    asio::local::stream_protocol::socket probe(io);
    boost::system::error_code error;
    probe.connect(asio::local::stream_protocol::endpoint(path), error);
    if (!error) {
        return Error{EADDRINUSE, fmt::format("another program answers on {} already; stop that one first", path)};
    }
    ::unlink(path.c_str());
    return success();
}

template <class Socket>
Peer peer_of(const Socket& socket) {
    Peer peer;
    if constexpr (std::is_same_v<Socket, asio::local::stream_protocol::socket>) {
        ucred credentials{};
        socklen_t size = sizeof credentials;
        // The native handle is const-free in Asio 1.74.
        const int fd = const_cast<Socket&>(socket).native_handle();
        peer.local = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
        peer.uid = credentials.uid;
        peer.address = fmt::format("unix uid={}", peer.uid);
    } else {
        boost::system::error_code error;
        const auto remote = socket.remote_endpoint(error);
        peer.address = error ? "unknown" : fmt::format("{}:{}", remote.address().to_string(), remote.port());
    }
    return peer;
}

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
    using Connections = std::list<std::weak_ptr<HttpConnection>>;
    using Unproved = std::map<Strangers::Id, std::weak_ptr<HttpConnection>>;

    Impl(Reactor& reactor, Handlers calls) : io(reactor.impl().io), handlers(std::move(calls)) {}

    template <class Acceptor>
    void accept(Acceptor& acceptor) {
        acceptor.async_accept([self = shared_from_this(), &acceptor](const beast::error_code& error,
                                                                     typename Acceptor::protocol_type::socket socket) {
            if (self->stopped || error == asio::error::operation_aborted) {
                return;
            }
            if (error) {
                return self->accept_later(acceptor, error);
            }
            self->serve(std::move(socket));
            self->accept(acceptor);
        });
    }

    // Out of descriptors, most likely: the connection stays in the kernel's queue, and would be an error again at once.
    template <class Acceptor>
    void accept_later(Acceptor& acceptor, const beast::error_code& error) {
        if (refusal.is_time()) {
            log::warning("connections cannot be accepted", {{"error", error.message()}});
        }
        const auto pause = std::make_shared<asio::steady_timer>(io, pause_without_descriptors);
        pause->async_wait([self = shared_from_this(), pause, &acceptor](const beast::error_code&) {
            if (!self->stopped) {
                self->accept(acceptor);
            }
        });
    }

    template <class Accepted>
    void serve(Accepted socket) {
        // Swept when they have doubled, so that ten thousand that stay are not looked through for each that comes.
        if (connections.size() >= swept_at) {
            std::erase_if(connections, has_ended);
            std::erase_if(proved, [](const auto& of_one) {
                return std::all_of(of_one.second.begin(), of_one.second.end(), has_ended);
            });
            swept_at = std::min(most_connections, std::max<std::size_t>(64, 2 * connections.size()));
        }
        if (connections.size() >= most_connections) {
            if (refusal.is_time()) {
                log::warning("connections are refused: too many", {{"connections", connections.size()}});
            }
            return;
        }
        if constexpr (std::is_same_v<Accepted, asio::ip::tcp::socket>) {
            boost::system::error_code ignored;
            socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        }
        Peer peer = peer_of(socket);
        const bool secures = !peer.local && context && std::is_same_v<Accepted, asio::ip::tcp::socket>;
        const auto connection = std::make_shared<HttpConnection>(Stream(Socket(std::move(socket))), std::move(peer), handlers);
        connections.push_back(connection);
        if (!secures) {
            return connection->start(nullptr, nullptr);
        }
        const Strangers::Id number = ++last_stranger;
        unproved.emplace(number, connection);
        if (const auto going = strangers.add(number, connection->peer().address)) {
            if (const auto silent = unproved.extract(*going).mapped().lock()) {
                silent->abandon();
            }
        }
        connection->start(context, [weak = weak_from_this(), number] {
            if (const auto self = weak.lock()) {
                self->strangers.remove(number);
                self->know(self->unproved.extract(number));
            }
        });
    }

    static bool has_ended(const std::weak_ptr<HttpConnection>& connection) { return connection.expired(); }

    // One that has proved who it is, or has ended before.
    void know(const Unproved::node_type& entry) {
        const auto connection = entry.empty() ? nullptr : entry.mapped().lock();
        if (!connection || connection->peer().identity.empty()) {
            return;
        }
        Connections& others = proved[connection->peer().identity];
        std::erase_if(others, has_ended);
        if (others.size() < most_of_one_identity) {
            others.push_back(connection);
            return;
        }
        if (handlers.on_refused) {
            handlers.on_refused(connection->peer(), connection->peer().identity,
                                fmt::format("it has {} connections already", most_of_one_identity));
        }
        connection->abandon();
    }

    void stop() {
        stopped = true;
        boost::system::error_code ignored;
        for (auto& acceptor : tcp) {
            acceptor.close(ignored);
        }
        for (auto& acceptor : local) {
            acceptor.close(ignored);
        }
        for (const auto& connection : connections) {
            if (const auto alive = connection.lock()) {
                alive->abandon();
            }
        }
        for (const std::string& path : socket_files) {
            ::unlink(path.c_str());
        }
    }

    asio::io_context& io;
    Handlers handlers;
    std::list<asio::ip::tcp::acceptor> tcp;
    std::list<asio::local::stream_protocol::acceptor> local;
    std::vector<std::string> socket_files;
    Connections connections;
    std::size_t swept_at = 64;
    std::shared_ptr<tls::Context> context;
    Strangers strangers{"connections", most_strangers, most_strangers_of_one};
    Unproved unproved;                            // the same
    std::map<std::string, Connections> proved;    // by their identities
    Seldom refusal;
    Strangers::Id last_stranger = 0;
    bool stopped = false;
};

Server::Server(Reactor& reactor, Handlers handlers)
    : impl_(std::make_shared<Impl>(reactor, std::move(handlers))) {}

Server::~Server() { impl_->stop(); }

void Server::use_tls(std::shared_ptr<tls::Context> context) { impl_->context = std::move(context); }

void Server::cut(const std::function<bool(const Peer&)>& condition, const std::string& reason) {
    for (const auto& connection : std::list(impl_->connections)) {
        if (const auto alive = connection.lock(); alive && condition(alive->peer())) {
            alive->cut(reason);
        }
    }
}

Status Server::listen(const Endpoint& endpoint) {
    const auto refuse = [&](const boost::system::error_code& error) {
        return Error{error.value(), fmt::format("cannot listen on {}: {}", to_string(endpoint), error.message())};
    };
    boost::system::error_code error;
    if (endpoint.is_unix()) {
        if (Status free = remove_stale_socket(endpoint.path); !free) {
            return free;
        }
        if (endpoint.path.size() > 107) {  // sun_path
            return refuse(asio::error::name_too_long);
        }
        auto& acceptor = impl_->local.emplace_back(impl_->io);
        acceptor.open(asio::local::stream_protocol(), error);
        const mode_t mask = ::umask(0117);
        if (!error) {
            acceptor.bind(asio::local::stream_protocol::endpoint(endpoint.path), error);
        }
        ::umask(mask);
        if (!error) {
            acceptor.listen(asio::socket_base::max_listen_connections, error);
        }
        if (error) {
            return refuse(error);
        }
        impl_->socket_files.push_back(endpoint.path);
        impl_->accept(acceptor);
        return success();
    }
    asio::ip::tcp::resolver resolver(impl_->io);
    const auto addresses = resolver.resolve(endpoint.host, std::to_string(endpoint.port), error);
    if (error) {
        return refuse(error);
    }
    const asio::ip::tcp::endpoint address = addresses.begin()->endpoint();
    auto& acceptor = impl_->tcp.emplace_back(impl_->io);
    acceptor.open(address.protocol(), error);
    if (!error) {
        acceptor.set_option(asio::socket_base::reuse_address(true), error);
    }
    if (!error) {
        acceptor.bind(address, error);
    }
    if (!error) {
        acceptor.listen(asio::socket_base::max_listen_connections, error);
    }
    if (error) {
        return refuse(error);
    }
    impl_->accept(acceptor);
    return success();
}

}  // namespace drivebay::rpc
