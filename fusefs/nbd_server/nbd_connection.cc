#include "fusefs/nbd_server/nbd_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "lib/base/log.h"

namespace drivebay::nbd {

using namespace std::chrono_literals;

namespace {

constexpr Duration handshake_limit = 10s;
constexpr Duration stall_limit = 30s;
// How long an ended epoch's client is still answered (with ESHUTDOWN) before it is hung up on.
constexpr Duration farewell = 250ms;

constexpr std::size_t input_size = std::size_t{32} << 10;
constexpr std::size_t held_limit = largest_payload;
constexpr std::size_t request_cost = 512;
constexpr std::size_t assured = (std::size_t{1} << 20) + request_cost;
constexpr std::size_t most_unanswered = 1024;
constexpr std::size_t most_text = std::size_t{64} << 10;
constexpr int reads_a_turn = 8;  // so that one busy client does not keep the loop from the others

WireError wire_error(int error) {
    switch (error) {
        case 0: return WireError::none;
        case EPERM:
        case EROFS: return WireError::not_permitted;
        case ENOMEM: return WireError::no_memory;
        case EINVAL: return WireError::invalid;
        case ENOSPC:
        case EFBIG:
        case EDQUOT: return WireError::no_space;
        case EOPNOTSUPP: return WireError::not_supported;
        case ESHUTDOWN: return WireError::shutdown;
        default: return WireError::io;
    }
}

OptionReply refusal_of(int error) {
    return error == ENOENT      ? OptionReply::error_unknown
           : error == ESHUTDOWN ? OptionReply::error_shutdown
                                : OptionReply::error_policy;
}

}  // namespace

bool MemoryBudget::take(std::size_t bytes, std::uint64_t who, std::function<void()> wake) {
    if (used_ == 0 || used_ + bytes <= limit_) {
        used_ += bytes;
        return true;
    }
    waiting_.push_back({who, std::move(wake)});
    return false;
}

void MemoryBudget::give_back(std::size_t bytes) {
    used_ -= bytes;
    // Whoever finds it too little still stands last in the queue again.
    for (std::size_t turns = waiting_.size(); turns > 0 && !waiting_.empty() && used_ < limit_; --turns) {
        const std::function<void()> wake = std::move(waiting_.front().wake);
        waiting_.pop_front();
        wake();
    }
}

void MemoryBudget::forget(std::uint64_t who) {
    std::erase_if(waiting_, [who](const Waiting& waiting) { return waiting.who == who; });
}

// One request from its header to the last byte of its reply. Kept for the next one.
struct NbdConnection::Work {
    IoRequest io;
    NbdConnection* connection = nullptr;
    AlignedBuffer buffer;
    Command command = Command::read;
    std::uint64_t cookie = 0;
    std::size_t held = 0;
    std::array<std::byte, chunk_header_size + 8> reply;
    std::size_t reply_size = 0;
    std::size_t reply_data = 0;  // bytes of the buffer that follow
    Work* next = nullptr;
};

NbdConnection::NbdConnection(ConnectionContext& context, UniqueFd socket, NbdPeer peer, Id id,
                             std::function<void(Id)> finished)
    : context_(context),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      id_(id),
      finished_(std::move(finished)),
      input_(input_size) {
    watched_ = EPOLLIN;
    context_.loop.add(socket_.get(), watched_, [this](std::uint32_t events) { on_event(events); });
    handshake_timer_ = context_.loop.call_after(handshake_limit, [this] {
        handshake_timer_ = 0;
        lose("no handshake in time");
    });
    text_ = handshake_.take_output();
    schedule_send();
    check_stall();
}

NbdConnection::~NbdConnection() { *alive_ = false; }

void NbdConnection::on_event(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        send();
    }
    if ((events & EPOLLIN) != 0) {
        on_readable();
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
    const bool read = handshaking ? handshake_.room() > 0 && text_.size() < most_text
                                  : phase_ == Phase::transmission && !blocked_;
    const std::uint32_t wanted = (read ? EPOLLIN : 0u) | (want_write_ ? EPOLLOUT : 0u);
    if (wanted != watched_) {
        watched_ = wanted;
        context_.loop.modify(socket_.get(), wanted);
    }
}

void NbdConnection::on_readable() {
    for (int turn = 0; turn < reads_a_turn; ++turn) {
        const bool more = phase_ == Phase::handshake      ? receive_handshake()
                          : phase_ == Phase::transmission ? receive_requests()
                                                          : false;
        if (!more) {
            return;
        }
    }
}

bool NbdConnection::receive_handshake() {
    const std::size_t room = std::min(handshake_.room(), input_.size());
    if (room == 0 || text_.size() >= most_text) {
        return false;
    }
    const ssize_t got = recv(socket_.get(), input_.data(), room, 0);
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
    const ExportDescription description = Exports::describe(view_->info());
    facts_.size = description.size;
    facts_.writable = (description.flags & read_only) == 0;
    handshake_.answer_export(description);
}

void NbdConnection::begin_transmission() {
    context_.loop.cancel(std::exchange(handshake_timer_, 0));
    phase_ = Phase::transmission;
    structured_replies_ = handshake_.structured_replies();
    const std::vector<std::byte> rest = handshake_.take_rest();
    std::copy(rest.begin(), rest.end(), input_.begin());
    input_begin_ = 0;
    input_end_ = rest.size();
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

bool NbdConnection::receive_requests() {
    if (blocked_) {
        return false;
    }
    std::array<iovec, 2> into{};
    int count = 0;
    if (receiving_ != nullptr) {
        into[0] = {receiving_->buffer.data() + received_, receiving_->io.length - received_};
        ++count;
    }
    // parse_requests() leaves less than a header behind, at the buffer's begin.
    into[static_cast<std::size_t>(count)] = {input_.data() + input_end_, input_.size() - input_end_};
    ++count;
    const ssize_t got = readv(socket_.get(), into.data(), count);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            lose(got == 0 ? "the client hung up" : "the connection broke");
        }
        return false;
    }
    moved_ += static_cast<std::uint64_t>(got);
    auto fresh = static_cast<std::size_t>(got);
    if (receiving_ != nullptr) {
        const std::size_t payload = std::min(fresh, receiving_->io.length - received_);
        received_ += payload;
        fresh -= payload;
        if (received_ == receiving_->io.length) {
            submit(*std::exchange(receiving_, nullptr));
        }
    }
    input_end_ += fresh;
    parse_requests();
    return true;
}

void NbdConnection::parse_requests() {
    blocked_ = false;
    while (phase_ == Phase::transmission && receiving_ == nullptr) {
        const std::size_t there = input_end_ - input_begin_;
        if (skip_ > 0) {
            const std::size_t dropped = std::min<std::uint64_t>(skip_, there);
            skip_ -= dropped;
            input_begin_ += dropped;
            if (skip_ > 0) {
                break;
            }
            continue;
        }
        if (there < request_size || !take_request(parse_request(input_.data() + input_begin_))) {
            break;
        }
    }
    if (input_begin_ > 0) {
        std::memmove(input_.data(), input_.data() + input_begin_, input_end_ - input_begin_);
        input_end_ -= std::exchange(input_begin_, 0);
    }
}

bool NbdConnection::may_hold(std::size_t bytes) {
    // What blocks here is released by this connection's own replies: release() looks again.
    if (unanswered_ >= most_unanswered || (held_ > 0 && held_ + bytes > held_limit)) {
        return false;
    }
    if (held_ == 0 && bytes <= assured) {
        context_.budget.take_anyway(bytes);
        return true;
    }
    return context_.budget.take(bytes, id_, [this] {
        parse_requests();
        watch();
    });
}

// False: nothing more can be taken now. The header stays where it is if a limit forbids it.
bool NbdConnection::take_request(const RequestHeader& header) {
    const Verdict verdict = judge(header, facts_);
    if (verdict.action == Verdict::Action::disconnect) {
        const bool asked = header.magic == request_magic && header.type == static_cast<std::uint16_t>(Command::disconnect);
        drain(asked ? "the client disconnected" : "what came is no request that can be answered");
        return false;
    }
    const bool performs = verdict.action == Verdict::Action::perform;
    const auto command = static_cast<Command>(header.type);
    const bool has_data = performs && (command == Command::read || command == Command::write);
    const std::size_t cost = request_cost + (has_data ? header.length : 0);
    if (!may_hold(cost)) {
        blocked_ = true;
        return false;
    }
    input_begin_ += request_size;
    Work& work = new_work(header, cost);
    if (!performs) {
        skip_ = verdict.payload;
        answer(work, verdict.error);
        return true;
    }
    if (has_data) {
        work.buffer = context_.buffers.take(header.length);
        if (!work.buffer) {
            skip_ = verdict.payload;
            answer(work, WireError::no_memory);
            return true;
        }
        work.io.data = work.buffer.data();
    }
    if (command != Command::write) {
        submit(work);
        return true;
    }
    received_ = std::min<std::size_t>(header.length, input_end_ - input_begin_);
    std::memcpy(work.buffer.data(), input_.data() + input_begin_, received_);
    input_begin_ += received_;
    if (received_ < header.length) {
        receiving_ = &work;
        return false;
    }
    submit(work);
    return true;
}

NbdConnection::Work& NbdConnection::new_work(const RequestHeader& header, std::size_t held) {
    if (free_works_ == nullptr) {
        works_.push_back(std::make_unique<Work>());
        works_.back()->connection = this;
        free_works_ = works_.back().get();
    }
    Work& work = *std::exchange(free_works_, free_works_->next);
    work.next = nullptr;
    work.command = static_cast<Command>(header.type);
    work.cookie = header.cookie;
    work.held = held;
    work.io.offset = header.offset;
    work.io.length = header.length;
    work.io.data = nullptr;
    work.io.fua = (header.flags & command_fua) != 0;
    work.io.may_trim = (header.flags & command_no_hole) == 0;
    held_ += held;
    ++unanswered_;
    return work;
}

void NbdConnection::submit(Work& work) {
    switch (work.command) {
        case Command::read: work.io.operation = IoOperation::read; break;
        case Command::write: work.io.operation = IoOperation::write; break;
        case Command::flush: work.io.operation = IoOperation::flush; break;
        case Command::trim: work.io.operation = IoOperation::trim; break;
        default: work.io.operation = IoOperation::write_zeroes; break;
    }
    work.io.context = &work;
    work.io.done = [](IoRequest& request, int error) {
        Work& done = *static_cast<Work*>(request.context);
        done.connection->completed(done, error);
    };
    ++in_flight_;
    view_->submit(work.io);
}

void NbdConnection::completed(Work& work, int error) {
    --in_flight_;
    if (phase_ == Phase::lost) {
        release(work);
        return finish_if_idle();
    }
    answer(work, wire_error(error));
}

void NbdConnection::answer(Work& work, WireError error) {
    std::byte* to = work.reply.data();
    const bool is_read = work.command == Command::read;
    work.reply_data = is_read && error == WireError::none ? work.io.length : 0;
    if (is_read && structured_replies_) {
        // [Structured reply chunk message]: one chunk, the last.
        to = put(to, structured_reply_magic);
        to = put(to, reply_done);
        to = put(to, error == WireError::none ? reply_offset_data : reply_error);
        to = put(to, work.cookie);
        if (error == WireError::none) {
            to = put<std::uint32_t>(to, 8 + work.io.length);
            to = put(to, work.io.offset);
        } else {
            to = put<std::uint32_t>(to, 6);
            to = put(to, static_cast<std::uint32_t>(error));
            to = put<std::uint16_t>(to, 0);
        }
    } else {
        to = put(to, simple_reply_magic);
        to = put(to, static_cast<std::uint32_t>(error));
        to = put(to, work.cookie);
    }
    work.reply_size = static_cast<std::size_t>(to - work.reply.data());
    (last_answer_ == nullptr ? first_answer_ : last_answer_->next) = &work;
    last_answer_ = &work;
    schedule_send();
}

void NbdConnection::schedule_send() {
    if (!send_scheduled_ && !want_write_) {
        send_scheduled_ = true;
        // It runs before the connection is destroyed: that, too, is done at a round's end, and was asked for later.
        context_.loop.at_round_end([this] {
            send_scheduled_ = false;
            send();
            watch();
        });
    }
}

void NbdConnection::send() {
    while (phase_ != Phase::lost && phase_ != Phase::finished && output_pending()) {
        std::array<iovec, 64> pieces{};
        std::size_t count = 0;
        if (!text_.empty()) {
            pieces[count++] = {text_.data(), text_.size()};
        }
        std::size_t done = sent_;
        for (Work* work = first_answer_; work != nullptr && count + 2 <= pieces.size(); work = work->next) {
            if (done < work->reply_size) {
                pieces[count++] = {work->reply.data() + done, work->reply_size - done};
                done = work->reply_size;
            }
            if (work->reply_data > 0) {
                const std::size_t offset = done - work->reply_size;
                pieces[count++] = {work->buffer.data() + offset, work->reply_data - offset};
            }
            done = 0;
        }
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = count;
        const ssize_t put = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                return lose("the connection broke");
            }
            want_write_ = true;
            return;
        }
        moved_ += static_cast<std::uint64_t>(put);
        auto left = static_cast<std::size_t>(put);
        const std::size_t of_text = std::min(left, text_.size());
        text_.erase(0, of_text);
        left -= of_text;
        while (first_answer_ != nullptr && left > 0) {
            const std::size_t whole = first_answer_->reply_size + first_answer_->reply_data;
            const std::size_t piece = std::min(left, whole - sent_);
            sent_ += piece;
            left -= piece;
            if (sent_ == whole) {
                sent_ = 0;
                Work& answered = *std::exchange(first_answer_, first_answer_->next);
                if (first_answer_ == nullptr) {
                    last_answer_ = nullptr;
                }
                release(answered);
            }
        }
    }
    want_write_ = false;
    finish_if_idle();
}

void NbdConnection::release(Work& work) {
    const std::size_t held = std::exchange(work.held, 0);
    work.buffer.reset();
    work.next = std::exchange(free_works_, &work);
    held_ -= held;
    --unanswered_;
    const bool own_limit = blocked_;
    context_.budget.give_back(held);
    if (own_limit && blocked_ && phase_ == Phase::transmission) {
        context_.budget.forget(id_);
        parse_requests();
    }
}

void NbdConnection::shut(const std::string& why) { lose(why); }

void NbdConnection::drain(const std::string& why) {
    if (phase_ != Phase::handshake && phase_ != Phase::transmission) {
        return;
    }
    log::debug("NBD client ends", {{"peer", peer_.address}, {"export", opened_name_}, {"reason", why}});
    phase_ = Phase::draining;
    if (receiving_ != nullptr) {
        release(*std::exchange(receiving_, nullptr));
    }
    schedule_send();
}

void NbdConnection::lose(const std::string& why) {
    if (phase_ == Phase::lost || phase_ == Phase::finished) {
        return;
    }
    log::info("NBD client gone", {{"peer", peer_.address}, {"export", opened_name_}, {"reason", why}});
    phase_ = Phase::lost;
    context_.loop.remove(socket_.get());
    ::shutdown(socket_.get(), SHUT_RDWR);
    if (receiving_ != nullptr) {
        release(*std::exchange(receiving_, nullptr));
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
        context_.loop.remove(socket_.get());
    }
    phase_ = Phase::finished;
    for (EventLoop::TimerId* timer : {&handshake_timer_, &stall_timer_, &end_timer_}) {
        context_.loop.cancel(std::exchange(*timer, 0));
    }
    context_.budget.forget(id_);
    socket_.reset();
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
