// An NBD connection after its handshake: requests in, replies out.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "fusefs/nbd_server/nbd_work.h"

namespace drivebay::nbd {

namespace {

constexpr std::size_t held_limit = largest_payload;
constexpr std::size_t request_cost = 512;
// Its extents as the drive tells them, and as the reply does.
constexpr std::size_t block_status_cost = most_extents * sizeof(Extent) + block_status_size(most_extents);
constexpr std::size_t assured = (std::size_t{1} << 20) + request_cost;
constexpr std::size_t most_unanswered = 1024;

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

}  // namespace

bool NbdConnection::receive_requests(std::size_t most) {
    if (blocked_) {
        return false;
    }
    if (receiving_ == nullptr && input_end_ - input_begin_ >= request_size) {
        parse_requests(most / Poller::cost_of_request + 1);
        return !blocked_;
    }
    std::memmove(input_.data(), input_.data() + input_begin_, input_end_ - input_begin_);
    input_end_ -= std::exchange(input_begin_, 0);
    return receive_more_requests(most);
}

bool NbdConnection::receive_more_requests(std::size_t most) {
    std::array<iovec, 2> into{};
    int count = 0;
    if (receiving_ != nullptr) {
        into[0] = {receiving_->buffer.data() + received_, std::min(receiving_->io.length - received_, most)};
        ++count;
    }
    // Behind all of a payload only.
    if (receiving_ == nullptr || received_ + into[0].iov_len == receiving_->io.length) {
        into[static_cast<std::size_t>(count)] = {input_.data() + input_end_, input_.size() - input_end_};
        ++count;
    }
    std::size_t room = 0;
    for (const iovec& piece : into) {
        room += piece.iov_len;
    }
    const ssize_t got = stream_.receive({into.data(), static_cast<std::size_t>(count)});
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
    parse_requests(most / Poller::cost_of_request + 1);
    // Less than there is room for is all that has arrived.
    return static_cast<std::size_t>(got) == room;
}

// What is left of more than `most` is taken in later turns.
void NbdConnection::parse_requests(std::size_t most) {
    blocked_ = false;
    const std::uint64_t end = taken_ + most;
    while (phase_ == Phase::transmission && receiving_ == nullptr) {
        const std::size_t there = input_end_ - input_begin_;
        if (skip_ > 0) {
            const std::size_t dropped = std::min<std::uint64_t>(skip_, there);
            skip_ -= dropped;
            input_begin_ += dropped;
            if (skip_ > 0) {
                break;
            }
            if (skipped_ != nullptr) {
                answer(*std::exchange(skipped_, nullptr), skipped_error_);
            }
            continue;
        }
        if (there < request_size) {
            break;
        }
        if (taken_ == end) {
            readable_ = true;
            ask_for_turn();
            break;
        }
        if (!take_request(parse_request(input_.data() + input_begin_))) {
            break;
        }
    }
}

bool NbdConnection::may_hold(std::size_t bytes) {
    // What blocks here is released by this connection's own replies: release() looks again.
    if (unanswered_ >= most_unanswered || (held_ > 0 && held_ + bytes > held_limit)) {
        return false;
    }
    if (held_ == 0 && bytes <= assured) {
        context_.budget.take_anyway(bytes, *part_);
        return true;
    }
    return context_.budget.take(bytes, *part_, id_, [this] {
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
    const std::size_t cost = request_cost + (has_data ? header.length : 0) +
                             (performs && command == Command::block_status ? block_status_cost : 0);
    if (!may_hold(cost)) {
        blocked_ = true;
        return false;
    }
    input_begin_ += request_size;
    ++taken_;
    Work& work = new_work(header, cost);
    if (!performs) {
        refuse(work, verdict.error, verdict.payload);
        return true;
    }
    if (has_data) {
        work.buffer = context_.buffers.take(header.length);
        if (!work.buffer) {
            refuse(work, WireError::no_memory, verdict.payload);
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

// After the payload, as other servers do: libnbd takes no answer to a write that it is still sending.
void NbdConnection::refuse(Work& work, WireError error, std::uint32_t payload) {
    if (payload == 0) {
        return answer(work, error);
    }
    skip_ = payload;
    skipped_ = &work;
    skipped_error_ = error;
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
    work.io.may_lend = stream_.can_send_file();
    work.io.extents = &work.extents;
    work.extents.limit = (header.flags & command_request_one) != 0 ? 1 : most_extents;
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
        case Command::cache: work.io.operation = IoOperation::cache; break;
        case Command::block_status: work.io.operation = IoOperation::block_status; break;
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
    if (error == WireError::none && work.command == Command::block_status) {
        work.buffer = context_.buffers.take(block_status_size(work.extents.found.size()));
        error = work.buffer ? error : WireError::no_memory;
    }
    work.reply_data = 0;
    if (error != WireError::none || (work.command != Command::read && work.command != Command::block_status)) {
        work.reply = plain_reply(work.command, structured_replies_, work.cookie, error);
    } else if (work.command == Command::read) {
        work.reply_data = work.io.length;
        work.reply = read_reply(structured_replies_, work.cookie, work.io.offset, work.io.length);
    } else {
        work.reply_data = put_block_status(work.buffer.data(), work.extents.found, work.io.length);
        work.reply = block_status_reply(work.cookie, work.reply_data);
    }
    (last_answer_ == nullptr ? first_answer_ : last_answer_->next) = &work;
    last_answer_ = &work;
    schedule_send();
}

void NbdConnection::schedule_send() {
    if (!want_write_ && phase_ != Phase::finished) {
        ask_for_turn();
    }
}

// The bytes of a lent file go from the page cache to the socket without a copy. Negative: as sendfile(2).
ssize_t NbdConnection::send_lent(const Work& work, std::size_t most) {
    const std::size_t done = sent_ - work.reply.size;
    const ssize_t put = stream_.send_file(work.io.lent->get(), static_cast<off_t>(work.io.offset + done),
                                          std::min(work.reply_data - done, most));
    if (put == 0) {
        errno = EIO;  // the file has been cut
        return -1;
    }
    return put;
}

// What is sent next, in so many pieces; none: a lent file's data, and then `more` is true. `more`: those follow.
std::size_t NbdConnection::gather(std::span<iovec> pieces, std::size_t most, bool& more) {
    std::size_t count = 0;
    std::size_t size = 0;
    const auto add = [&](auto* data, std::size_t length) {
        length = std::min(length, most - size);
        pieces[count++] = {const_cast<void*>(static_cast<const void*>(data)), length};
        size += length;
    };
    if (!text_.empty()) {
        add(text_.data(), text_.size());
    }
    std::size_t done = sent_;
    more = false;
    for (Work* work = first_answer_; work != nullptr && size < most && count + 2 <= pieces.size(); work = work->next) {
        if (done < work->reply.size) {
            add(work->reply.bytes.data() + done, work->reply.size - done);
            done = work->reply.size;
        }
        more = work->io.lent != nullptr;
        if (more) {
            break;
        }
        if (work->reply_data > 0 && size < most) {
            const std::size_t offset = done - work->reply.size;
            add(work->buffer.data() + offset, work->reply_data - offset);
        }
        done = 0;
    }
    return count;
}

void NbdConnection::send(std::size_t most) {
    const std::uint64_t end = moved_ + most;
    while (phase_ != Phase::lost && phase_ != Phase::finished && output_pending()) {
        if (moved_ >= end) {
            return ask_for_turn();
        }
        // Not less than a record, all the same: TLS wants to be asked again with no less than it could not take.
        const auto left_of_turn = std::max(static_cast<std::size_t>(end - moved_), NbdStream::record_size);
        std::array<iovec, 64> pieces{};
        bool more = false;
        const std::size_t count = gather(pieces, left_of_turn, more);
        const ssize_t put =
            count == 0 ? send_lent(*first_answer_, left_of_turn) : stream_.send({pieces.data(), count}, more);
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
            const std::size_t whole = first_answer_->reply.size + first_answer_->reply_data;
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
    if (handshake_.state() == Handshake::State::securing && phase_ == Phase::handshake && !stream_.is_shaking_hands()) {
        stream_.begin_tls(context_.tls);
        // Ten thousand that stop here hold no buffers.
        input_ = {};
    }
    finish_if_idle();
}

void NbdConnection::release(Work& work) {
    const std::size_t held = std::exchange(work.held, 0);
    work.buffer.reset();
    work.io.lent.reset();
    work.extents = {};
    work.next = std::exchange(free_works_, &work);
    held_ -= held;
    --unanswered_;
    const bool own_limit = blocked_;
    context_.budget.give_back(held, *part_);
    if (own_limit && blocked_ && phase_ == Phase::transmission) {
        context_.budget.forget(id_);
        parse_requests();
    }
}

}  // namespace drivebay::nbd
