// The blade's session with the arbiter (doc/PROTOCOL.md, "Arbiter and gadgetd"): connects for ever, says who it is and
// what is observed, passes on what is desired, and renews. Its id is kept in the run folder with the kernel's boot id,
// so that a restarted daemon resumes it and a rebooted machine does not.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/protocol/messages.h"
#include "lib/rpc/client.h"
#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

// When a session that was renewed by a message sent at `sent` ends for its holder: earlier than for the arbiter, which
// counts from receipt, by what two clocks may drift apart (1 % and 250 ms).
Instant holder_deadline(Instant sent, Duration ttl);

// Why a desired state cannot be taken from anyone; a drive's name becomes part of a path here.
Status check_desired(const protocol::Desired& desired);

class ArbiterSession {
public:
    struct Callbacks {
        std::function<protocol::BladeObserved()> observe;  // for the hello
        std::function<void()> on_begin;                    // a link was welcomed
        std::function<void(const protocol::Desired&)> on_desired;
    };

    // Everything happens on the reactor's thread. `run_dir` must exist.
    ArbiterSession(rpc::Reactor& reactor, rpc::Endpoint arbiter, std::string blade, const std::string& run_dir,
                   Callbacks callbacks, rpc::Secure secure = {});

    // Dropped unless welcomed: the next hello tells it anyway.
    void report(const protocol::BladeObserved& observed);

private:
    void load();
    void save();
    void connect();
    void on_open();
    void on_message(const nlohmann::json& text);
    void on_close(const std::string& reason);
    void welcome(const protocol::Welcome& message);
    void refused(const std::string& reason);
    void renewed(const protocol::Renewed& message);
    void renew();
    void give_up(const std::string& reason);
    // Drops the link and takes it up again a while later.
    void pause();

    rpc::Reactor& reactor_;
    rpc::Endpoint arbiter_;
    std::string blade_;
    std::string path_;
    Callbacks callbacks_;
    rpc::Secure secure_;
    std::string boot_id_;
    std::string session_;
    Term term_ = 0;
    bool welcomed_ = false;
    Duration ttl_{};
    Instant hello_sent_{};
    Instant valid_until_{};
    std::uint64_t seq_ = 0;
    std::map<std::uint64_t, Instant> sent_;
    std::string last_reason_;  // only changes are logged
    rpc::Timer renewal_;
    rpc::Timer expiry_;
    rpc::Timer patience_;
    std::unique_ptr<rpc::Link> link_;
};

}  // namespace drivebay::gadgetd
