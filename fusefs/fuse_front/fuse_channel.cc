#include "fusefs/fuse_front/fuse_channel.h"

#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "fusefs/fuse_front/fuse_io.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::uint32_t suspected_after = 3;  // servers

const fuse_in_header& header_of(std::span<const std::byte> message) {
    return *reinterpret_cast<const fuse_in_header*>(message.data());
}

template <class Arguments>
const Arguments* arguments_of(std::span<const std::byte> message) {
    return message.size() < sizeof(fuse_in_header) + sizeof(Arguments)
               ? nullptr
               : reinterpret_cast<const Arguments*>(message.data() + sizeof(fuse_in_header));
}

std::size_t cost_of(std::span<const std::byte> message) {
    const auto* const asked = header_of(message).opcode == FUSE_READ ? arguments_of<fuse_read_in>(message) : nullptr;
    return Poller::cost_of_request + (asked == nullptr ? message.size() : asked->size);
}

}  // namespace

FuseChannel::FuseChannel(EventLoop& loop, int device, Shared& shared)
    : loop_(loop), device_(device), shared_(shared) {}

FuseChannel::~FuseChannel() { receive(false); }

void FuseChannel::start(bool refuse_suspects) {
    for (KeptRequest* const left : shared_.requests.left()) {
        take_over(*left, refuse_suspects);
    }
    receive(true);
}

void FuseChannel::take_over(KeptRequest& kept, bool refuse_suspects) {
    switch (kept.state.load()) {
        case KeptRequest::applied: return answer_again(kept);
        case KeptRequest::received:
            if (refuse_suspects && kept.take_overs >= suspected_after) {
                log::error("a request over which servers died again and again is refused",
                           {{"opcode", header_of(shared_.requests.message(kept)).opcode}, {"servers", kept.take_overs}});
                return answer(kept, EIO);
            }
            break;
        default: break;
    }
    serve(kept);
}

void FuseChannel::stop(std::function<void()> idle) {
    receive(false);
    starving_ = false;
    if (unanswered_ == 0) {
        return idle();
    }
    idle_ = std::move(idle);
}

void FuseChannel::receive(bool wanted) {
    if (std::exchange(receiving_, wanted) == wanted) {
        return;
    }
    if (wanted) {
        return loop_.add(device_, EPOLLIN, [this](std::uint32_t) { loop_.start_polling(*this); });
    }
    loop_.stop_polling(*this);
    loop_.remove(device_);
}

bool FuseChannel::poll() {
    const std::size_t most = loop_.has_other_front(*this) ? share : 1;
    std::size_t spent = 0;
    while (spent < most) {
        const std::size_t cost = receive_one();
        if (cost == 0) {
            break;
        }
        spent += cost;
    }
    return spent > 0;
}

// What it cost; 0: there is nothing to be received.
std::size_t FuseChannel::receive_one() {
    const std::span<std::byte> room = shared_.requests.room();
    if (room.empty()) {
        starving_ = true;
        receive(false);
        return 0;
    }
    const ssize_t got = ::read(device_, room.data(), room.size());
    if (got > 0) {
        const std::span<std::byte> message = room.first(static_cast<std::size_t>(got));
        const fuse_in_header& header = header_of(message);
        if (message.size() < sizeof header || header.len != message.size()) {
            log::error("the kernel's request is cut", {{"bytes", message.size()}});
        } else if (wants_answer(header.opcode)) {
            const std::size_t cost = cost_of(message);
            serve(shared_.requests.keep(message));
            return cost;
        } else if (header.opcode == FUSE_INTERRUPT) {
            // What is under way cannot be taken back; after this answer the kernel does not ask again (fs/fuse/dev.c,
            // fuse_dev_do_write).
            send(header.unique, ENOSYS);
        } else {
            shared_.others(message);
        }
        shared_.requests.drop(message);
        return cost_of_request;
    }
    // ENOENT: the request was interrupted before it could be handed over.
    if (got < 0 && (errno == EINTR || errno == ENOENT)) {
        return cost_of_request;
    }
    if (got < 0 && errno == EAGAIN) {
        loop_.stop_polling(*this);
        return 0;
    }
    if (got < 0 && errno != ENODEV) {
        log::error("the kernel's requests cannot be received", {{"error", errno}});
    }
    receive(false);
    shared_.unmounted();
    return 0;
}

void FuseChannel::serve(KeptRequest& kept) {
    const std::span<const std::byte> message = shared_.requests.message(kept);
    switch (header_of(message).opcode) {
        case FUSE_READ:
            if (const auto* const asked = arguments_of<fuse_read_in>(message)) {
                return read(kept, *asked);
            }
            break;
        case FUSE_WRITE:
            if (const auto* const asked = arguments_of<fuse_write_in>(message);
                asked != nullptr && asked->size <= kept.length - KeptRequests::write_header) {
                return write(kept, *asked);
            }
            break;
        case FUSE_FSYNC:
            if (const auto* const asked = arguments_of<fuse_fsync_in>(message)) {
                return sync(kept, *asked);
            }
            break;
        case FUSE_FALLOCATE:
            if (const auto* const asked = arguments_of<fuse_fallocate_in>(message)) {
                return allocate(kept, *asked);
            }
            break;
        default: with_libfuse_[kept.unique] = &kept; return shared_.others(message);
    }
    answer(kept, EIO);
}

void FuseChannel::send(std::uint64_t unique, int error, std::span<const std::byte> data) {
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + data.size());
    header.error = -error;
    header.unique = unique;
    const std::array<iovec, 2> parts = {iovec{&header, sizeof header},
                                        iovec{const_cast<std::byte*>(data.data()), data.size()}};
    // ENOENT, ENODEV: nobody waits for it any more.
    if (writev(device_, parts.data(), data.empty() ? 1 : 2) < 0 && errno != ENOENT && errno != ENODEV) {
        log::error("the kernel does not take an answer", {{"error", errno}});
    }
}

void FuseChannel::answer(KeptRequest& kept, int error, std::span<const std::byte> data) {
    send(kept.unique, error, data);
    forget(kept);
}

void FuseChannel::forget(KeptRequest& kept) {
    shared_.requests.done(kept);
    if (std::exchange(starving_, false)) {
        receive(true);
    }
}

ssize_t FuseChannel::answer_of_libfuse(const iovec* parts, int count) {
    const auto& header = *static_cast<const fuse_out_header*>(parts[0].iov_base);
    const ssize_t sent = writev(device_, parts, count);
    const int error = errno;
    if (auto served = with_libfuse_.extract(header.unique)) {
        forget(*served.mapped());
    }
    errno = error;
    return sent;
}

}  // namespace drivebay
