// The WebSocket of the management module's drivebayfs (/v1/link/datapath): tables out, what it admits and has fenced
// in. There is one at a time: two gates could not keep one promise.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "arbiter/arbiter.h"
#include "lib/base/denials.h"
#include "lib/rpc/channel.h"

namespace drivebay::arbiter {

class DataPathLink : public Audience {
public:
    DataPathLink(Arbiter& arbiter, Denials& denials, rpc::Reactor& reactor)
        : arbiter_(arbiter), denials_(denials), reactor_(reactor) {}
    ~DataPathLink() override;

    void accept(std::shared_ptr<rpc::Channel> channel);
    void told(const Actions& actions) override;

    // Asks the data path what a source is; ENOTCONN if it is not connected, ETIMEDOUT after 10 s. `id` of the probe is
    // filled in here.
    using Answer = std::function<void(Result<protocol::Probed>)>;
    void probe(protocol::Probe probe, Answer answer);

private:
    struct Pending {
        Answer answer;
        std::unique_ptr<rpc::Timer> limit;
    };
    void receive(const std::shared_ptr<rpc::Channel>& channel, const nlohmann::json& json);
    void left(const std::shared_ptr<rpc::Channel>& channel, const std::string& reason);
    void finish(std::uint64_t id, Result<protocol::Probed> outcome);
    void send_table();

    Arbiter& arbiter_;
    Denials& denials_;
    rpc::Reactor& reactor_;
    std::map<rpc::Channel*, std::shared_ptr<rpc::Channel>> channels_;
    std::shared_ptr<rpc::Channel> current_;  // has said hello
    bool greeted_ = false;                   // … and the core has taken it
    std::map<std::uint64_t, Pending> probes_;
    std::uint64_t last_probe_ = 0;
};

}  // namespace drivebay::arbiter
