#include "fusefs/nbd_server/nbd_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "fusefs/nbd_server/nbd_work.h"
#include "lib/base/log.h"

namespace drivebay::nbd {

using namespace std::chrono_literals;

namespace {

constexpr Duration handshake_limit = 10s;
constexpr Duration stall_limit = 30s;
// How long an ended epoch's client is still answered (with ESHUTDOWN) before it is hung up on.
constexpr Duration farewell = 250ms;
constexpr std::size_t input_size = std::size_t{32} << 10;
constexpr std::size_t most_text = std::size_t{64} << 10;

OptionReply refusal_of(int error) {
    return error == ENOENT      ? OptionReply::error_unknown
           : error == ESHUTDOWN ? OptionReply::error_shutdown
                                : OptionReply::error_policy;
}

// Of a client that stays: small replies at once, and a machine that is gone is found out.
void tune(int socket) {
    const auto set = [socket](int level, int option, int value) { setsockopt(socket, level, option, &value, sizeof value); };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_KEEPCNT, 4);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
}

}  // namespace

NbdConnection::NbdConnection(ConnectionContext& context, UniqueFd socket, NbdPeer peer, TlsPolicy tls, Id id,
                             std::function<void(Id)> finished)
    : context_(context),
      stream_(std::move(socket)),
      peer_(std::move(peer)),
      id_(id),
      finished_(std::move(finished)),
      handshake_(context.tls == nullptr ? TlsPolicy::none : tls),
      wants_identity_(context.wants_identity) {
    watched_ = EPOLLIN;
    context_.loop.add(stream_.fd(), watched_, [this](std::uint32_t events) { on_event(events); });
    handshake_timer_ = context_.loop.call_after(handshake_limit, [this] {
        handshake_timer_ = 0;
        lose("no handshake in time");
    });
    text_ = handshake_.take_output();
    schedule_send();
    check_stall();
}

NbdConnection::~NbdConnection() {
    context_.strangers.remove(id_);
    context_.turns.forget(*this);
    *alive_ = false;
}

void NbdConnection::on_event(std::uint32_t events) {
    if (stream_.is_shaking_hands()) {
        if (has_turn()) {
            shake_hands();
        } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
            lose("the connection broke");
        }
        return watch();
    }
    if ((events & EPOLLOUT) != 0) {
        writable_ = true;
        ask_for_turn();
    }
    if ((events & EPOLLIN) != 0) {
        readable_ = true;
        ask_for_turn();
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        lose("the connection broke");
    }
    watch();
}

void NbdConnection::watch() {
    if (phase_ == Phase::lost || phase_ == Phase::finished) {
        return;
    }
    const bool handshaking = phase_ == Phase::handshake;
    const bool may_receive = handshake_.state() != Handshake::State::securing ||
                             (stream_.is_shaking_hands() && turn_ != Turn::waits);
    const bool read = handshaking ? may_receive && handshake_.room() > 0 && text_.size() < most_text
                                  : phase_ == Phase::transmission && !blocked_;
    // What TLS has decrypted already makes no event.
    if (read && !readable_ && stream_.has_pending()) {
        readable_ = true;
        ask_for_turn();
    }
    const std::uint32_t wanted =
        (read ? EPOLLIN : 0u) | (want_write_ || stream_.wants_write() ? EPOLLOUT : 0u);
    if (wanted != watched_) {
        watched_ = wanted;
        context_.loop.modify(stream_.fd(), wanted);
    }
}

std::size_t NbdConnection::take_turn(std::size_t most) {
    const std::uint64_t before = spent();
    if (!want_write_ || std::exchange(writable_, false)) {
        send(most);
    }
    if (std::exchange(readable_, false)) {
        receive(most);
    }
    watch();
    return static_cast<std::size_t>(spent() - before);
}

bool NbdConnection::has_turn() {
    if (turn_ == Turn::none) {
        turn_ = !is_stranger() || peer_.local || context_.strangers.may_begin(id_, BootClock::now()) ? Turn::has : Turn::waits;
        if (turn_ == Turn::waits) {
            context_.somebody_waits();
        }
    }
    return turn_ == Turn::has;
}

void NbdConnection::turn_has_come() {
    turn_ = Turn::has;
    watch();
}

// After STARTTLS was answered.
void NbdConnection::shake_hands() {
    switch (stream_.shake_hands()) {
        case NbdStream::Progress::again: return;
        case NbdStream::Progress::done: return secured();
        case NbdStream::Progress::gone: return lose("gone during the TLS handshake");
        case NbdStream::Progress::refused: {
            const tls::Refusal refusal = tls::refusal_of(stream_.tls());
            context_.denials.note({peer_.address, refusal.identity, "a connection", refusal.reason});
            return lose("TLS: " + refusal.reason);
        }
    }
}

void NbdConnection::secured() {
    if (wants_identity_) {
        const std::optional<tls::Shown> shown = tls::shown_by(stream_.tls());
        if (!shown || shown->identity.kind != tls::Identity::Kind::blade) {
            context_.denials.note(
                {peer_.address, shown ? to_string(shown->identity) : "", "a connection", "only blades have drives here"});
            return lose("it is no blade");
        }
        if (context_.tls->revocations() != nullptr && context_.tls->revocations()->has(shown->serial)) {
            context_.denials.note({peer_.address, to_string(shown->identity), "a connection", "the certificate was revoked"});
            return lose("the certificate was revoked");
        }
        if (!context_.has_room(to_string(shown->identity))) {
            context_.denials.note({peer_.address, to_string(shown->identity), "a connection", "it has too many already"});
            return lose("the blade has too many connections");
        }
        peer_.identity = to_string(shown->identity);
        peer_.serial = shown->serial;
        peer_.blade = shown->identity.name;
        context_.strangers.proved(id_);
    }
    handshake_.secured();
    log::debug("NBD client speaks TLS", {{"peer", peer_.address}, {"identity", peer_.identity}});
}

// What is left in the socket makes an event again.
void NbdConnection::receive(std::size_t most) {
    const std::uint64_t end = spent() + most;
    while (spent() < end) {
        const bool more = phase_ == Phase::handshake      ? receive_handshake()
                          : phase_ == Phase::transmission ? receive_requests(static_cast<std::size_t>(end - spent()))
                                                          : false;
        if (!more) {
            return;
        }
    }
}

bool NbdConnection::receive_handshake() {
    // One that says nothing has none.
    input_.resize(input_size);
    const std::size_t room = std::min(handshake_.room(), input_.size());
    if (room == 0 || text_.size() >= most_text || handshake_.state() == Handshake::State::securing) {
        return false;
    }
    const iovec into{input_.data(), room};
    const ssize_t got = stream_.receive({&into, 1});
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            lose("gone during the handshake");
        }
        return false;
    }
    moved_ += static_cast<std::uint64_t>(got);
    handshake_.receive(input_.data(), static_cast<std::size_t>(got));
    pump_handshake();
    return phase_ == Phase::handshake;
}

void NbdConnection::pump_handshake() {
    while (phase_ == Phase::handshake && handshake_.state() == Handshake::State::asking && !question_asked_) {
        question_asked_ = true;
        ask();
    }
    if (phase_ != Phase::handshake) {
        return;
    }
    text_ += handshake_.take_output();
    if (handshake_.state() == Handshake::State::ended) {
        return drain(handshake_.reason());
    }
    if (handshake_.state() == Handshake::State::transmission) {
        begin_transmission();
    }
    schedule_send();
}

// The answers may come from inside the calls: pump_handshake() then goes on by itself; else they call it again.
void NbdConnection::ask() {
    const Question question = handshake_.question();
    const auto inside = std::make_shared<bool>(true);
    const auto answered = [this, inside] {
        question_asked_ = false;
        if (!*inside) {
            pump_handshake();
            watch();
        }
    };
    const auto still_wanted = [this, alive = alive_] { return *alive && phase_ == Phase::handshake; };
    switch (question.kind) {
        case Question::Kind::list:
            context_.exports.list(peer_, [this, answered, still_wanted](const std::vector<std::string>& names) {
                if (still_wanted()) {
                    handshake_.answer_list(names);
                    answered();
                }
            });
            break;
        case Question::Kind::info:
            context_.exports.look_up(peer_, question.name, [this, answered, still_wanted](const Result<ViewInfo>& info) {
                if (!still_wanted()) {
                    return;
                }
                if (info) {
                    handshake_.answer_export(Exports::describe(*info));
                } else {
                    handshake_.refuse_export(refusal_of(info.error().code), info.error().message);
                }
                answered();
            });
            break;
        case Question::Kind::go:
            opened_name_ = question.name;
            context_.exports.open(peer_, question.name, id_, *this,
                                  [this, answered, still_wanted](Result<std::shared_ptr<View>> view) {
                                      if (still_wanted()) {
                                          on_export(std::move(view));
                                          answered();
                                      }
                                  });
            break;
    }
    *inside = false;
}

void NbdConnection::on_export(Result<std::shared_ptr<View>> view) {
    if (!view) {
        log::info("NBD export refused",
                  {{"peer", peer_.address}, {"export", opened_name_}, {"reason", view.error().message}});
        return handshake_.refuse_export(refusal_of(view.error().code), view.error().message);
    }
    if ((*view)->ended()) {
        return handshake_.refuse_export(OptionReply::error_shutdown, "the epoch has just ended");
    }
    view_ = std::move(*view);
    end_callback_ = view_->on_end([this] { on_view_ended(); });
    part_ = context_.budget.part_of(view_.get());
    const ExportDescription description = Exports::describe(view_->info());
    facts_.size = description.size;
    facts_.writable = (description.flags & read_only) == 0;
    handshake_.answer_export(description);
}

void NbdConnection::begin_transmission() {
    context_.loop.cancel(std::exchange(handshake_timer_, 0));
    phase_ = Phase::transmission;
    structured_replies_ = handshake_.structured_replies();
    facts_.block_status = handshake_.block_status();
    const std::vector<std::byte> rest = handshake_.take_rest();
    std::copy(rest.begin(), rest.end(), input_.begin());
    input_begin_ = 0;
    input_end_ = rest.size();
    if (!peer_.local) {
        tune(stream_.fd());
    }
    log::info("NBD client", {{"peer", peer_.address}, {"export", opened_name_}, {"epoch", view_->info().admission.epoch}});
    parse_requests();
}

void NbdConnection::on_view_ended() {
    end_callback_ = 0;
    // Finished in this very round: it is destroyed at the round's end, and a timer set now would outlive it.
    if (phase_ == Phase::finished) {
        return;
    }
    end_timer_ = context_.loop.call_after(farewell, [this] {
        end_timer_ = 0;
        drain("the epoch has ended");
        watch();
    });
}

void NbdConnection::shut(const std::string& why) { lose(why); }

void NbdConnection::drain(const std::string& why) {
    if (phase_ != Phase::handshake && phase_ != Phase::transmission) {
        return;
    }
    log::debug("NBD client ends", {{"peer", peer_.address}, {"export", opened_name_}, {"reason", why}});
    phase_ = Phase::draining;
    for (Work** work : {&receiving_, &skipped_}) {
        if (*work != nullptr) {
            release(*std::exchange(*work, nullptr));
        }
    }
    schedule_send();
}

void NbdConnection::lose(const std::string& why) {
    if (phase_ == Phase::lost || phase_ == Phase::finished) {
        return;
    }
    // A line for each that says nothing would be a weapon.
    if (is_stranger()) {
        log::debug("NBD client gone", {{"peer", peer_.address}, {"reason", why}});
    } else {
        log::info("NBD client gone", {{"peer", peer_.address}, {"export", opened_name_}, {"reason", why}});
    }
    phase_ = Phase::lost;
    context_.strangers.remove(id_);
    context_.loop.remove(stream_.fd());
    ::shutdown(stream_.fd(), SHUT_RDWR);
    for (Work** work : {&receiving_, &skipped_}) {
        if (*work != nullptr) {
            release(*std::exchange(*work, nullptr));
        }
    }
    while (first_answer_ != nullptr) {
        release(*std::exchange(first_answer_, first_answer_->next));
    }
    last_answer_ = nullptr;
    finish_if_idle();
}

void NbdConnection::finish_if_idle() {
    const bool ending = phase_ == Phase::lost || (phase_ == Phase::draining && unanswered_ == 0 && !output_pending());
    if (!ending || in_flight_ > 0) {
        return;
    }
    if (phase_ == Phase::draining) {
        context_.loop.remove(stream_.fd());
        stream_.say_goodbye();
    }
    phase_ = Phase::finished;
    for (EventLoop::TimerId* timer : {&handshake_timer_, &stall_timer_, &end_timer_}) {
        context_.loop.cancel(std::exchange(*timer, 0));
    }
    context_.budget.forget(id_);
    context_.turns.forget(*this);
    stream_.close();
    // The rest not from here: a caller further up may be the view or the barrier.
    context_.loop.at_round_end([this] {
        if (view_ && end_callback_ != 0) {
            view_->forget(end_callback_);
        }
        view_.reset();
        context_.exports.ended(id_);
        const std::function<void(Id)> finished = std::move(finished_);
        finished(id_);
    });
}

void NbdConnection::check_stall() {
    const bool waits = output_pending() || receiving_ != nullptr || skip_ > 0;
    if (waits && stall_timer_ != 0 && moved_ == moved_before_) {
        stall_timer_ = 0;
        return lose("nothing moved for 30 s");
    }
    moved_before_ = moved_;
    stall_timer_ = context_.loop.call_after(stall_limit, [this] { check_stall(); });
}

}  // namespace drivebay::nbd
