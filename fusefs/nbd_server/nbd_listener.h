// The NBD server: its listeners, TCP and Unix, and the connections that came by them. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/nbd_server/denials_timer.h"
#include "fusefs/nbd_server/nbd_connection.h"
#include "lib/base/result.h"
#include "lib/base/seldom.h"
#include "lib/rpc/endpoint.h"

namespace drivebay::nbd {

class NbdListener {
public:
    struct Limits {
        std::size_t connections = 1024;                 // one more is hung up on
        std::size_t strangers = 512;                    // of TCP clients that have proved nothing yet; half of all at most
        std::size_t strangers_of_one = 128;             // … from one address
        std::size_t of_one_blade = 64;                  // with a certificate; it has 16 slots, and asks on others
        std::size_t memory = std::size_t{512} << 20;    // of all requests in flight together
    };
    struct Tls {
        std::unique_ptr<tls::Context> context;  // null: no TLS
        bool required = true;                 // on TCP; on a Unix socket it is only offered
        bool wants_identity = false;          // each TLS client is to be a blade, and has that blade's exports
        std::function<void(const Denial&)> denied;  // optional
    };
    NbdListener(EventLoop& loop, BufferPool& buffers, Catalogue& catalogue, Limits limits, Tls tls);
    NbdListener(EventLoop& loop, BufferPool& buffers, Catalogue& catalogue, Limits limits)
        : NbdListener(loop, buffers, catalogue, limits, Tls()) {}
    // After stop() has called back, or when nobody has connected.
    ~NbdListener();
    NbdListener(const NbdListener&) = delete;
    NbdListener& operator=(const NbdListener&) = delete;

    // A Unix socket's stale file is replaced; one that still answers is EADDRINUSE. Mode 0660.
    Status listen(const rpc::Endpoint& endpoint);

    // Clients that come from now on meet this one.
    void use_tls(std::shared_ptr<tls::Context> context);
    // Until use_tls() clients that come by TCP are turned away, and those that have not proved who they are hung up on.
    void suspend_tls();
    // Hangs up on all that came by TCP.
    void end_network(const std::string& why);
    // Hangs up on those whose certificates have been revoked.
    void end_revoked(tls::Revocations& revocations);
    // Hangs up on everybody, without a word: a client that knows how comes back. `stopped` runs when nothing of them is
    // in flight.
    void stop(std::function<void()> stopped);

private:
    struct Socket {
        UniqueFd fd;
        std::string path;  // of a Unix socket: removed at the end
    };
    Status listen_tcp(const rpc::Endpoint& endpoint);
    Status listen_unix(const rpc::Endpoint& endpoint);
    Status begin(UniqueFd fd, const rpc::Endpoint& endpoint, const std::string& path);
    void accept_some(int listener, bool is_unix);
    void give_turns_later();
    bool has_room(const std::string& identity) const;
    void pause();
    void finished(NbdConnection::Id id);
    void close_sockets();

    EventLoop& loop_;
    const Limits limits_;
    const bool tls_required_;
    Denials denials_;
    DenialsTimer denials_timer_{loop_, denials_};
    Exports exports_;
    MemoryBudget budget_;
    LoopTurns turns_;
    Strangers strangers_;
    ConnectionContext context_;
    bool suspended_ = false;
    Seldom complaint_;
    std::vector<Socket> sockets_;
    std::map<NbdConnection::Id, std::unique_ptr<NbdConnection>> connections_;
    NbdConnection::Id last_id_ = 0;
    EventLoop::TimerId pause_ = 0;
    EventLoop::TimerId handshake_turns_ = 0;  // of strangers
    std::function<void()> stopped_;
};

}  // namespace drivebay::nbd
