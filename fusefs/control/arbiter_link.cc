#include "fusefs/control/arbiter_link.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "lib/base/log.h"

namespace drivebay {

namespace {

// Longer than an arbiter takes to start.
constexpr Duration patience = std::chrono::seconds(2);
constexpr Duration pause_between_questions = std::chrono::milliseconds(25);

}  // namespace

ArbiterLink::ArbiterLink(rpc::Reactor& reactor, const rpc::Endpoint& arbiter, Callbacks callbacks)
    : callbacks_(std::move(callbacks)), arbiter_(rpc::to_string(arbiter)), patience_(reactor), pause_(reactor), settled_at_(BootClock::now() + patience) {
    rpc::Link::Callbacks link;
    link.on_open = [this] { opened(); };
    link.on_message = [this](const nlohmann::json& json) { received(json); };
    link.on_close = [this](const std::string& reason) { closed(reason); };
    link_ = std::make_unique<rpc::Link>(reactor, arbiter, "/v1/link/datapath", std::move(link));
}

ArbiterLink::~ArbiterLink() = default;

void ArbiterLink::send(const protocol::Message& message) { link_->send(protocol::encode(message)); }

void ArbiterLink::opened() {
    log::info("arbiter connected", {{"at", arbiter_}});
    last_reason_.clear();
    send(callbacks_.hello());
    patience_.cancel();
    for (Ask& question : std::exchange(waiting_, {})) {
        ask(std::move(question));
    }
}

void ArbiterLink::closed(const std::string& reason) {
    if (reason != last_reason_) {
        last_reason_ = reason;
        log::notice("no arbiter; what is admitted goes on", {{"at", arbiter_}, {"reason", reason}});
    }
    for (const auto& [id, question] : std::exchange(asked_, {})) {
        question.callback(Error{EHOSTUNREACH, "the arbiter went away before it answered"});
    }
}

void ArbiterLink::received(const nlohmann::json& json) {
    Result<protocol::Message> message = protocol::decode(json, protocol::Side::data_path);
    if (!message) {
        log::error("the arbiter said what is not understood", {{"reason", message.error().message}});
        return link_->reconnect(message.error().message);
    }
    if (const auto* table = std::get_if<protocol::Table>(&*message)) {
        if (const Status taken = callbacks_.table(*table); !taken) {
            log::error("the arbiter's table cannot be taken", {{"reason", taken.error().message}});
            link_->reconnect(taken.error().message);
        }
    } else if (const auto* probe = std::get_if<protocol::Probe>(&*message)) {
        callbacks_.probe(*probe);
    } else if (const auto* answer = std::get_if<protocol::LocalAnswer>(&*message)) {
        auto asked = asked_.extract(answer->id);
        if (!asked) {
            return;
        }
        if (answer->granted) {
            asked.mapped().callback(answer->epoch);
        } else if (BootClock::now() < settled_at_) {
            refused_.push_back(std::move(asked.mapped()));
            pause_.set(pause_between_questions, [this] { ask_again(); });
        } else {
            asked.mapped().callback(Error{EBUSY, answer->error});
        }
    } else {
        link_->reconnect("that message does not belong on the data path's link");
    }
}

void ArbiterLink::acquire_local(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback) {
    Ask question{protocol::LocalAcquire{++last_id_, drive, mode}, std::move(callback)};
    if (link_->is_open()) {
        return ask(std::move(question));
    }
    if (waiting_.empty()) {
        patience_.set(patience, [this] { give_up_waiting(); });
    }
    waiting_.push_back(std::move(question));
}

void ArbiterLink::ask(Ask question) {
    send(question.question);
    const std::uint64_t id = question.question.id;
    asked_.emplace(id, std::move(question));
}

void ArbiterLink::ask_again() {
    for (Ask& question : std::exchange(refused_, {})) {
        acquire_local(question.question.drive, question.question.mode, std::move(question.callback));
    }
}

void ArbiterLink::give_up_waiting() {
    for (const Ask& question : std::exchange(waiting_, {})) {
        question.callback(Error{EHOSTUNREACH, "the arbiter at " + arbiter_ + " does not answer, and only it can lease " +
                                                  log::quoted(question.question.drive) + " to this machine"});
    }
}

}  // namespace drivebay
