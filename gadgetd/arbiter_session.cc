#include "gadgetd/arbiter_session.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "gadgetd/attribute.h"
#include "gadgetd/slot_journal.h"
#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::gadgetd {

namespace {

using namespace std::chrono_literals;

// After a refusal nothing will have changed for a while.
constexpr Duration refusal_pause = 1s;

}  // namespace

Instant holder_deadline(Instant sent, Duration ttl) {
    return sent + ttl - ttl / 100 - 250ms;
}

Status check_desired(const protocol::Desired& desired) {
    for (const protocol::DesiredSlot& slot : desired.slots) {
        if (Status named = check_name("drive", slot.drive); !named) {
            return named;
        }
        if (slot.epoch == 0 || slot.slot < 0) {
            return Error{EPROTO, "a desired slot has no epoch or a negative number"};
        }
    }
    return success();
}

ArbiterSession::ArbiterSession(rpc::Reactor& reactor, rpc::Endpoint arbiter, std::string blade,
                               const std::string& run_dir, Callbacks callbacks, rpc::Secure secure)
    : reactor_(reactor),
      arbiter_(std::move(arbiter)),
      blade_(std::move(blade)),
      path_(run_dir + "/session.json"),
      callbacks_(std::move(callbacks)),
      secure_(std::move(secure)),
      boot_id_(kernel_boot_id()),
      renewal_(reactor),
      expiry_(reactor),
      patience_(reactor) {
    load();
    connect();
}

void ArbiterSession::load() {
    Result<std::string> text = read_attribute(path_);
    if (!text) {
        return;
    }
    try {
        nlohmann::json kept = nlohmann::json::parse(*text);
        if (kept.at("boot_id") == boot_id_) {
            session_ = kept.at("session");
            term_ = kept.at("term");
        }
    } catch (const nlohmann::json::exception& failure) {
        log::error("the kept session is damaged; this blade begins a new one",
                   {{"file", path_}, {"error", failure.what()}});
    }
}

void ArbiterSession::save() {
    nlohmann::json kept{{"session", session_}, {"boot_id", boot_id_}, {"term", term_}};
    if (Status saved = replace_file(path_, kept.dump() + "\n"); !saved) {
        log::error("the session cannot be kept; a restart of this daemon will cost the blade its leases",
                   {{"error", saved.error().message}});
    }
}

void ArbiterSession::connect() {
    rpc::Link::Callbacks callbacks;
    callbacks.on_open = [this] { on_open(); };
    callbacks.on_message = [this](const nlohmann::json& text) { on_message(text); };
    callbacks.on_close = [this](const std::string& reason) { on_close(reason); };
    link_ = std::make_unique<rpc::Link>(reactor_, arbiter_, "/v1/link/blade", std::move(callbacks), secure_);
}

void ArbiterSession::on_open() {
    welcomed_ = false;
    hello_sent_ = BootClock::now();
    link_->send(protocol::encode(protocol::BladeHello{1, blade_, session_, boot_id_, term_, callbacks_.observe()}));
}

void ArbiterSession::on_message(const nlohmann::json& text) {
    Result<protocol::Message> message = protocol::decode(text, protocol::Side::blade);
    if (!message) {
        give_up(message.error().message);
    } else if (auto* welcomed = std::get_if<protocol::Welcome>(&*message)) {
        welcome(*welcomed);
    } else if (auto* refusal = std::get_if<protocol::Refused>(&*message)) {
        refused(refusal->reason);
    } else if (auto* renewal = std::get_if<protocol::Renewed>(&*message)) {
        renewed(*renewal);
    } else if (auto* desired = std::get_if<protocol::Desired>(&*message)) {
        if (!welcomed_) {
            give_up("a desired state came before the welcome");
        } else if (desired->term < term_) {
            give_up("a desired state of an older arbiter came: there is a newer one");
        } else if (Status fit = check_desired(*desired); !fit) {
            give_up(fit.error().message);
        } else {
            if (desired->term > term_) {  // it went above what it heard of since the welcome
                term_ = desired->term;
                save();
            }
            callbacks_.on_desired(*desired);
        }
    } else {
        give_up("a message came that no arbiter sends to a blade");
    }
}

void ArbiterSession::welcome(const protocol::Welcome& message) {
    if (message.term < term_) {
        give_up("an older arbiter answered: there is a newer one");
        return;
    }
    if (message.ttl_ms < 1000) {
        give_up("a session of less than a second was offered");
        return;
    }
    bool resumed = message.session == session_;
    if (!resumed || message.term != term_) {
        session_ = message.session;
        term_ = message.term;
        save();
    }
    welcomed_ = true;
    last_reason_.clear();
    sent_.clear();
    ttl_ = std::chrono::milliseconds(message.ttl_ms);
    valid_until_ = holder_deadline(hello_sent_, ttl_);
    log::notice("the arbiter welcomed this blade",
                {{"arbiter", rpc::to_string(arbiter_)}, {"session", session_}, {"resumed", resumed}, {"term", term_}});
    expiry_.set(valid_until_ - BootClock::now(), [this] { log::warning("the session was not renewed in time"); });
    renewal_.set(ttl_ / 3, [this] { renew(); });
    callbacks_.on_begin();
}

void ArbiterSession::renew() {
    ++seq_;
    Instant now = BootClock::now();
    std::erase_if(sent_, [&](const auto& entry) { return now - entry.second > ttl_; });
    sent_[seq_] = now;
    link_->send(protocol::encode(protocol::Renew{seq_}));
    renewal_.set(ttl_ / 3, [this] { renew(); });
}

void ArbiterSession::renewed(const protocol::Renewed& message) {
    auto found = sent_.find(message.seq);
    if (found == sent_.end()) {
        return;
    }
    link_->send(protocol::encode(protocol::Heard{message.seq}));
    ttl_ = std::chrono::milliseconds(std::max<std::int64_t>(message.ttl_ms, 1000));
    valid_until_ = std::max(valid_until_, holder_deadline(found->second, ttl_));
    sent_.erase(sent_.begin(), std::next(found));
    expiry_.set(valid_until_ - BootClock::now(), [this] { log::warning("the session was not renewed in time"); });
}

void ArbiterSession::refused(const std::string& reason) {
    if (std::exchange(last_reason_, reason) != reason) {
        log::error("the arbiter refused this blade", {{"blade", blade_}, {"reason", reason}});
    }
    pause();
}

void ArbiterSession::give_up(const std::string& reason) {
    if (std::exchange(last_reason_, reason) != reason) {
        log::error("the link to the arbiter was given up", {{"arbiter", rpc::to_string(arbiter_)}, {"reason", reason}});
    }
    link_->reconnect(reason);
    pause();
}

void ArbiterSession::pause() {
    renewal_.cancel();
    welcomed_ = false;
    // Not from inside the link's own callback.
    reactor_.post([this] { link_.reset(); });
    patience_.set(refusal_pause, [this] { connect(); });
}

void ArbiterSession::on_close(const std::string& reason) {
    renewal_.cancel();
    welcomed_ = false;
    if (std::exchange(last_reason_, reason) != reason) {
        log::warning("no link to the arbiter", {{"arbiter", rpc::to_string(arbiter_)}, {"reason", reason}});
    }
}

void ArbiterSession::report(const protocol::BladeObserved& observed) {
    if (welcomed_ && link_) {
        link_->send(protocol::encode(observed));
    }
}

}  // namespace drivebay::gadgetd
