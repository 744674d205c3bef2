#include "fusefs/nbd_server/nbd_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/clock.h"
#include "lib/base/log.h"

namespace drivebay::nbd {

using namespace std::chrono_literals;

namespace {

void set_option(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

std::string address_text(const sockaddr_storage& address, socklen_t length) {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "unknown";
    }
    return address.ss_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

std::string unix_peer_text(int fd) {
    ucred who{};
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) {
        return "unix";
    }
    return "unix pid=" + std::to_string(who.pid) + " uid=" + std::to_string(who.uid);
}

}  // namespace

NbdListener::NbdListener(EventLoop& loop, BufferPool& buffers, Catalogue& catalogue, Limits limits, Tls tls)
    : loop_(loop),
      limits_(limits),
      tls_required_(tls.required),
      denials_(std::move(tls.denied)),
      exports_(catalogue, denials_),
      budget_(limits.memory),
      turns_(loop),
      strangers_("NBD clients", std::min(limits.strangers, std::max<std::size_t>(1, limits.connections / 2)),
                 limits.strangers_of_one),
      context_{loop, buffers, exports_, budget_, turns_, denials_, strangers_, std::move(tls.context), tls.wants_identity,
               [this](const std::string& identity) { return has_room(identity); },
               [this] { give_turns_later(); }} {}

NbdListener::~NbdListener() { close_sockets(); }

void NbdListener::close_sockets() {
    loop_.cancel(std::exchange(pause_, 0));
    loop_.cancel(std::exchange(handshake_turns_, 0));
    for (const Socket& socket : sockets_) {
        loop_.remove(socket.fd.get());
        if (!socket.path.empty()) {
            unlink(socket.path.c_str());
        }
    }
    sockets_.clear();
}

Status NbdListener::listen(const rpc::Endpoint& endpoint) {
    return endpoint.is_unix() ? listen_unix(endpoint) : listen_tcp(endpoint);
}

Status NbdListener::listen_tcp(const rpc::Endpoint& endpoint) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(endpoint.port);
    if (const int error = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found); error != 0) {
        return Error{EADDRNOTAVAIL, "the NBD listener's address " + log::quoted(rpc::to_string(endpoint)) +
                                        " is unknown: " + gai_strerror(error)};
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
    Status outcome = success();
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
        UniqueFd fd(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd) {
            outcome = system_error(errno, "no socket for the NBD listener");
            continue;
        }
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
        if (address->ai_family == AF_INET6) {
            set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
        }
        if (bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0) {
            outcome = system_error(errno, "the NBD listener cannot have " + rpc::to_string(endpoint));
            continue;
        }
        return begin(std::move(fd), endpoint, "");
    }
    return outcome;
}

Status NbdListener::listen_unix(const rpc::Endpoint& endpoint) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (endpoint.path.size() >= sizeof address.sun_path) {
        return Error{ENAMETOOLONG, "the NBD socket's path " + log::quoted(endpoint.path) + " is longer than " +
                                       std::to_string(sizeof address.sun_path - 1) + " bytes"};
    }
    std::memcpy(address.sun_path, endpoint.path.c_str(), endpoint.path.size() + 1);
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
        return Error{EADDRINUSE, "another program listens on " + log::quoted(endpoint.path)};
    }
    if (errno == ECONNREFUSED) {
        unlink(endpoint.path.c_str());
    }
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || bind(fd.get(), generic, sizeof address) != 0) {
        return system_error(errno, "the NBD listener cannot have " + log::quoted(endpoint.path));
    }
    chmod(endpoint.path.c_str(), 0660);
    return begin(std::move(fd), endpoint, endpoint.path);
}

Status NbdListener::begin(UniqueFd fd, const rpc::Endpoint& endpoint, const std::string& path) {
    if (::listen(fd.get(), 128) != 0) {
        return system_error(errno, "the NBD listener cannot listen on " + rpc::to_string(endpoint));
    }
    const int listener = fd.get();
    loop_.add(listener, EPOLLIN, [this, listener, is_unix = endpoint.is_unix()](std::uint32_t) {
        accept_some(listener, is_unix);
    });
    sockets_.push_back({std::move(fd), path});
    log::info("NBD listens", {{"on", rpc::to_string(endpoint)}});
    return success();
}

void NbdListener::accept_some(int listener, bool is_unix) {
    for (int turn = 0; turn < 16; ++turn) {
        sockaddr_storage address{};
        socklen_t length = sizeof address;
        UniqueFd fd(accept4(listener, reinterpret_cast<sockaddr*>(&address), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                log::error("no more connections can be taken", {{"error", errno}});
                pause();
            }
            return;
        }
        if (suspended_ && !is_unix) {
            continue;
        }
        if (connections_.size() >= limits_.connections) {
            if (complaint_.is_time()) {
                log::warning("too many NBD clients: some are turned away", {{"limit", limits_.connections}});
            }
            continue;
        }
        NbdPeer peer{is_unix, is_unix ? unix_peer_text(fd.get()) : address_text(address, length), "", "", ""};
        const NbdConnection::Id id = ++last_id_;
        if (!is_unix && context_.wants_identity) {
            const Strangers::Place place = strangers_.add(id, peer.address, BootClock::now());
            if (!place.given) {
                turn_away(std::move(fd));
                continue;
            }
            if (place.of) {
                connections_.at(*place.of)->shut("others want to prove who they are");
            }
        }
        const TlsPolicy tls = tls_required_ && !is_unix ? TlsPolicy::required : TlsPolicy::offered;
        connections_.emplace(id, std::make_unique<NbdConnection>(context_, std::move(fd), std::move(peer), tls, id,
                                                                 [this](NbdConnection::Id gone) { finished(gone); }));
    }
}

void NbdListener::give_turns_later() {
    if (handshake_turns_ != 0 || !strangers_.anybody_waits()) {
        return;
    }
    handshake_turns_ = loop_.call_after(Strangers::turn, [this] {
        handshake_turns_ = 0;
        while (const auto id = strangers_.next(BootClock::now())) {
            connections_.at(*id)->turn_has_come();
        }
        give_turns_later();
    });
}

bool NbdListener::has_room(const std::string& identity) const {
    const auto count = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const auto& one) { return one.second->peer().identity == identity; });
    return static_cast<std::size_t>(count) < limits_.of_one_blade;
}

// Level-triggered: without a pause a full table of descriptors would keep the loop spinning.
void NbdListener::pause() {
    for (const Socket& socket : sockets_) {
        loop_.modify(socket.fd.get(), 0);
    }
    loop_.cancel(pause_);
    pause_ = loop_.call_after(100ms, [this] {
        pause_ = 0;
        for (const Socket& socket : sockets_) {
            loop_.modify(socket.fd.get(), EPOLLIN);
        }
    });
}

void NbdListener::finished(NbdConnection::Id id) {
    connections_.erase(id);
    if (connections_.empty() && stopped_) {
        std::exchange(stopped_, nullptr)();
    }
}

void NbdListener::use_tls(std::shared_ptr<tls::Context> context) {
    context_.tls = std::move(context);
    suspended_ = false;
}

void NbdListener::suspend_tls() {
    suspended_ = true;
    for (const auto& [id, connection] : connections_) {
        if (!connection->peer().local && connection->is_stranger()) {
            connection->shut("nobody can prove who he is now");
        }
    }
}

void NbdListener::end_network(const std::string& why) {
    for (const auto& [id, connection] : connections_) {
        if (!connection->peer().local) {
            connection->shut(why);
        }
    }
}

void NbdListener::end_revoked(tls::Revocations& revocations) {
    for (const auto& [id, connection] : connections_) {
        if (const std::string& serial = connection->peer().serial; !serial.empty() && revocations.has(serial)) {
            connection->shut("the certificate of " + connection->peer().identity + " was revoked");
        }
    }
}

void NbdListener::stop(std::function<void()> stopped) {
    close_sockets();
    if (connections_.empty()) {
        return stopped();
    }
    stopped_ = std::move(stopped);
    for (const auto& [id, connection] : connections_) {
        connection->shut("drivebayfs stops");
    }
}

}  // namespace drivebay::nbd
