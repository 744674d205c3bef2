// The data path's end of `/v1/link/datapath` (doc/PROTOCOL.md): decoding, and the questions that wait for an answer.
// Reactor thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/protocol/messages.h"
#include "lib/rpc/client.h"
#include "lib/rpc/reactor.h"

namespace drivebay {

class ArbiterLink {
public:
    struct Callbacks {
        // The link is open: what to say first.
        std::function<protocol::DataPathHello()> hello;
        // An error ends the link, which is opened again; the arbiter then sends the table anew.
        std::function<Status(const protocol::Table&)> table;
        std::function<void(const protocol::Probe&)> probe;
    };
    ArbiterLink(rpc::Reactor& reactor, const rpc::Endpoint& arbiter, Callbacks callbacks);
    ~ArbiterLink();
    ArbiterLink(const ArbiterLink&) = delete;
    ArbiterLink& operator=(const ArbiterLink&) = delete;

    // Dropped while the link is not open: state is sent whole again after hello.
    void send(const protocol::Message& message);
    // The epoch; EBUSY with the arbiter's sentence; EHOSTUNREACH if there is no arbiter, or it went before it answered. One
    // that is just being reached, or restarted, is waited for; so is, just after the start of this program, a lease that its
    // predecessor had and that the arbiter has not taken back yet.
    void acquire_local(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback);

private:
    struct Ask {
        protocol::LocalAcquire question;
        std::function<void(Result<Epoch>)> callback;
    };

    void opened();
    void ask(Ask question);
    void ask_again();
    void give_up_waiting();
    void received(const nlohmann::json& json);
    void closed(const std::string& reason);

    Callbacks callbacks_;
    const std::string arbiter_;
    std::map<std::uint64_t, Ask> asked_;
    std::vector<Ask> waiting_;  // for the link
    std::vector<Ask> refused_;  // to be asked again
    rpc::Timer patience_;
    rpc::Timer pause_;
    const Instant settled_at_;
    std::uint64_t last_id_ = 0;
    std::string last_reason_;
    std::unique_ptr<rpc::Link> link_;
};

}  // namespace drivebay
