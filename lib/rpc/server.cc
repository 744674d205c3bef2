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
#include <cstring>
#include <list>
#include <map>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
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
// Before others have their turn.
constexpr int most_accepted_at_once = 16;
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

Peer peer_of(int fd, const sockaddr_storage& address, socklen_t length) {
    Peer peer;
    if (address.ss_family == AF_UNIX) {
        ucred credentials{};
        socklen_t size = sizeof credentials;
        peer.local = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
        peer.uid = credentials.uid;
        peer.address = fmt::format("unix uid={}", peer.uid);
        return peer;
    }
    asio::ip::tcp::endpoint remote;
    std::memcpy(remote.data(), &address, std::min<std::size_t>(length, remote.capacity()));
    peer.address = fmt::format("{}:{}", remote.address().to_string(), remote.port());
    return peer;
}

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
    using Connections = std::list<std::weak_ptr<HttpConnection>>;
    using Unproved = std::map<Strangers::Id, std::weak_ptr<HttpConnection>>;

    Impl(Reactor& reactor, Handlers calls) : io(reactor.impl().io), handlers(std::move(calls)), turns(io) {}

    template <class Acceptor>
    void accept(Acceptor& acceptor) {
        acceptor.async_wait(Acceptor::wait_read, [self = shared_from_this(), &acceptor](const beast::error_code& error) {
            if (self->stopped || error) {
                return;
            }
            for (int turn = 0; turn < most_accepted_at_once; ++turn) {
                sockaddr_storage address{};
                socklen_t length = sizeof address;
                UniqueFd fd(::accept4(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&address), &length,
                                      SOCK_CLOEXEC | SOCK_NONBLOCK));
                if (fd) {
                    Peer peer = peer_of(fd.get(), address, length);
                    self->serve(std::move(fd), address.ss_family, std::move(peer));
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                    return self->accept_later(acceptor, errno);
                } else {
                    break;
                }
            }
            self->accept(acceptor);
        });
    }

    // The connection stays in the kernel's queue, and would be an error again at once.
    template <class Acceptor>
    void accept_later(Acceptor& acceptor, int error) {
        complain("connections cannot be accepted", std::generic_category().message(error));
        const auto pause = std::make_shared<asio::steady_timer>(io, pause_without_descriptors);
        pause->async_wait([self = shared_from_this(), pause, &acceptor](const beast::error_code&) {
            if (!self->stopped) {
                self->accept(acceptor);
            }
        });
    }

    void complain(const std::string& what, const std::string& why) {
        if (refusal.is_time()) {
            log::warning(what, {{"error", why}});
        }
    }

    void serve(UniqueFd fd, int family, Peer peer) {
        // Swept when they have doubled, so that ten thousand that stay are not looked through for each that comes.
        if (connections.size() >= swept_at) {
            std::erase_if(connections, has_ended);
            std::erase_if(proved, [](const auto& of_one) {
                return std::all_of(of_one.second.begin(), of_one.second.end(), has_ended);
            });
            swept_at = std::min(most_connections, std::max<std::size_t>(64, 2 * connections.size()));
        }
        if (connections.size() >= most_connections) {
            return complain("connections are refused", fmt::format("there are {} already", connections.size()));
        }
        const bool secures = family != AF_UNIX && context;
        const Strangers::Id number = ++last_stranger;
        if (secures) {
            const Strangers::Place place = strangers.add(number, peer.address, BootClock::now());
            if (!place.given) {
                return turn_away(std::move(fd));
            }
            if (place.of) {
                hang_up_on(*place.of);
            }
        }
        Socket socket(io);
        boost::system::error_code error;
        socket.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
        if (error) {
            strangers.remove(number);
            return complain("connections cannot be accepted", error.message());
        }
        fd.release();
        if (family != AF_UNIX) {
            socket.set_option(asio::ip::tcp::no_delay(true), error);
        }
        const auto connection = std::make_shared<HttpConnection>(Stream(std::move(socket)), std::move(peer), handlers);
        connections.push_back(connection);
        if (!secures) {
            return connection->start_plain();
        }
        unproved.emplace(number, connection);
        const auto turn = [weak = weak_from_this(), number](std::function<void()> begin) {
            if (const auto self = weak.lock()) {
                self->take_turn(number, std::move(begin));
            }
        };
        connection->start_tls(context, turn, [weak = weak_from_this(), number] {
            if (const auto self = weak.lock()) {
                self->know(number, self->unproved.extract(number));
            }
        });
    }

    void hang_up_on(Strangers::Id number) {
        if (const auto silent = unproved.extract(number).mapped().lock()) {
            silent->abandon();
        }
        waiting.erase(number);
    }

    // For a stranger's handshake.
    void take_turn(Strangers::Id number, std::function<void()> begin) {
        if (strangers.may_begin(number, BootClock::now())) {
            return begin();
        }
        const bool is_first = waiting.empty();
        waiting.emplace(number, std::move(begin));
        if (is_first) {
            give_turns_later();
        }
    }

    void give_turns_later() {
        turns.expires_after(Strangers::turn);
        turns.async_wait([self = shared_from_this()](const beast::error_code& error) {
            if (error || self->stopped) {
                return;
            }
            while (const auto number = self->strangers.next(BootClock::now())) {
                self->waiting.extract(*number).mapped()();
            }
            if (!self->waiting.empty()) {
                self->give_turns_later();
            }
        });
    }

    static bool has_ended(const std::weak_ptr<HttpConnection>& connection) { return connection.expired(); }

    // One that has proved who it is, or has ended before.
    void know(Strangers::Id number, const Unproved::node_type& entry) {
        const auto connection = entry.empty() ? nullptr : entry.mapped().lock();
        if (!connection || connection->peer().identity.empty()) {
            return strangers.remove(number);
        }
        strangers.proved(number);
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
        waiting.clear();
        turns.cancel();
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
    std::map<Strangers::Id, std::function<void()>> waiting;  // of the same, for the turn to shake hands
    asio::steady_timer turns;
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
        if (!error) {
            acceptor.non_blocking(true, error);
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
    if (!error) {
        acceptor.non_blocking(true, error);
    }
    if (error) {
        return refuse(error);
    }
    impl_->accept(acceptor);
    return success();
}

}  // namespace drivebay::rpc
