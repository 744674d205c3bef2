#include "arbiter/links/data_path_link.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "arbiter/core/desired_state.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {
namespace {

constexpr Duration probe_limit = std::chrono::seconds(10);

}  // namespace

DataPathLink::~DataPathLink() {
    for (auto& [key, channel] : channels_) {
        channel->on_message = nullptr;
        channel->on_close = nullptr;
    }
}

void DataPathLink::accept(std::shared_ptr<rpc::Channel> channel) {
    channels_[channel.get()] = channel;
    const std::weak_ptr<rpc::Channel> weak = channel;
    channel->on_message = [this, weak](const nlohmann::json& json) {
        if (const auto alive = weak.lock()) {
            receive(alive, json);
        }
    };
    channel->on_close = [this, weak](const std::string& reason) {
        if (const auto alive = weak.lock()) {
            left(alive, reason);
        }
    };
}

void DataPathLink::receive(const std::shared_ptr<rpc::Channel>& channel, const nlohmann::json& json) {
    auto message = protocol::decode(json, protocol::Side::data_path);
    if (!message) {
        log::warning("the data path sent what cannot be read", {{"reason", message.error().message}});
        channel->close(message.error().message);
        return;
    }
    if (const auto* hello = std::get_if<protocol::DataPathHello>(&*message)) {
        if (hello->protocol != 1) {
            channel->close(fmt::format("protocol {} is not understood here, only 1", hello->protocol));
        } else if (current_ && current_ != channel) {
            channel->close("another drivebayfs is connected to this arbiter already; there is one data path only");
        } else {
            current_ = channel;
            log::info("data path connected", {{"boot_id", hello->boot_id}});
            greeted_ = false;
            arbiter_.apply(DataPathArrived{*hello}, [this, channel](const Actions& actions) {
                if (current_ == channel && !actions.refusal) {
                    greeted_ = true;
                    send_table();
                }
            });
        }
        return;
    }
    if (current_ != channel) {
        channel->close("a link begins with hello");
        return;
    }
    if (const auto* observed = std::get_if<protocol::DataPathObserved>(&*message)) {
        arbiter_.apply(DataPathReported{*observed});
    } else if (const auto* probed = std::get_if<protocol::Probed>(&*message)) {
        finish(probed->id, *probed);
    } else if (const auto* acquire = std::get_if<protocol::LocalAcquire>(&*message)) {
        arbiter_.apply(LocalAcquired{*acquire}, [this, channel](const Actions& actions) {
            // Its successor numbers its own requests.
            if (current_ == channel) {
                for (const auto& answer : actions.local_answers) {
                    channel->send(protocol::encode(answer));
                }
            }
        });
    } else if (const auto* release = std::get_if<protocol::LocalRelease>(&*message)) {
        arbiter_.apply(LocalReleased{*release});
    } else if (const auto* denied = std::get_if<protocol::Denied>(&*message)) {
        denials_.note({denied->peer, denied->identity, denied->asked, denied->reason});
    } else {
        channel->close("that message does not belong on the data path's link");
    }
}

void DataPathLink::told(const Actions& actions) {
    if (current_ && greeted_ && actions.table) {
        send_table();
    }
}

void DataPathLink::send_table() {
    current_->send(protocol::encode(data_path_table(arbiter_.state())));
}

void DataPathLink::left(const std::shared_ptr<rpc::Channel>& channel, const std::string& reason) {
    channels_.erase(channel.get());
    if (current_ != channel) {
        return;
    }
    current_.reset();
    greeted_ = false;
    log::warning("data path disconnected", {{"reason", reason}});
    while (!probes_.empty()) {
        finish(probes_.begin()->first,
               Error{ENOTCONN,
                     "drivebayfs on the management module went away before it could look at the source; try again"});
    }
    arbiter_.apply(DataPathLeft{});
}

void DataPathLink::probe(protocol::Probe probe, Answer answer) {
    if (!current_) {
        answer(Error{ENOTCONN,
                     "drivebayfs on the management module is not connected to the arbiter, and nobody else can look "
                     "at the source; start it (mount /srv/drivebay) and try again"});
        return;
    }
    probe.id = ++last_probe_;
    auto limit = std::make_unique<rpc::Timer>(reactor_);
    limit->set(probe_limit, [this, id = probe.id, source = probe.source] {
        finish(id, Error{ETIMEDOUT,
                         fmt::format("{} did not answer within 10 s; is its server reachable from the management "
                                     "module?",
                                     log::quoted(source))});
    });
    probes_.emplace(probe.id, Pending{std::move(answer), std::move(limit)});
    current_->send(protocol::encode(probe));
}

void DataPathLink::finish(std::uint64_t id, Result<protocol::Probed> outcome) {
    const auto found = probes_.find(id);
    if (found == probes_.end()) {
        return;
    }
    Pending pending = std::move(found->second);
    probes_.erase(found);
    pending.answer(std::move(outcome));
}

}  // namespace drivebay::arbiter
