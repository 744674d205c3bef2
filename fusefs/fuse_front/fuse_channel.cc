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

// The kernel wants room for the largest write and 4 KiB of header (fs/fuse/dev.c, fuse_dev_do_read).
constexpr std::size_t page = 4096;
constexpr std::size_t header_room = page;
constexpr std::size_t receive_size = page + FuseChannel::largest_request + header_room;
// A write's data follow these two: received from here before a page, they begin on the page, and go to an O_DIRECT drive
// as they are.
constexpr std::size_t write_header = sizeof(fuse_in_header) + sizeof(fuse_write_in);

template <class Arguments>
const Arguments* arguments_of(std::span<const std::byte> message) {
    return message.size() < sizeof(fuse_in_header) + sizeof(Arguments)
               ? nullptr
               : reinterpret_cast<const Arguments*>(message.data() + sizeof(fuse_in_header));
}

}  // namespace

FuseChannel::FuseChannel(EventLoop& loop, int device, Shared& shared, AlignedBuffer first)
    : loop_(loop), device_(device), shared_(shared) {
    received_ = std::move(first);
}

std::unique_ptr<FuseChannel> FuseChannel::create(EventLoop& loop, int device, Shared& shared) {
    std::unique_ptr<FuseChannel> channel(new FuseChannel(loop, device, shared, {}));
    channel->received_ = channel->buffers_.take(receive_size);
    return channel->received_ ? std::move(channel) : nullptr;
}

FuseChannel::~FuseChannel() { stop_receiving(); }

void FuseChannel::start() {
    receiving_ = true;
    loop_.add(device_, EPOLLIN, [this](std::uint32_t) { loop_.start_polling(*this); });
}

void FuseChannel::stop(std::function<void()> idle) {
    stop_receiving();
    if (unanswered_ == 0) {
        return idle();
    }
    idle_ = std::move(idle);
}

void FuseChannel::stop_receiving() {
    if (std::exchange(receiving_, false)) {
        loop_.stop_polling(*this);
        loop_.remove(device_);
    }
}

bool FuseChannel::poll() {
    std::byte* const message = received_.data() + page - write_header;
    const ssize_t got = ::read(device_, message, received_.capacity() - page + write_header);
    if (got > 0) {
        serve(std::span(message, static_cast<std::size_t>(got)));
        return true;
    }
    // ENOENT: the request was interrupted before it could be handed over.
    if (got < 0 && (errno == EINTR || errno == ENOENT)) {
        return true;
    }
    if (got < 0 && errno == EAGAIN) {
        loop_.stop_polling(*this);
        return false;
    }
    if (got < 0 && errno != ENODEV) {
        log::error("the kernel's requests cannot be received", {{"error", errno}});
    }
    stop_receiving();
    shared_.unmounted();
    return false;
}

void FuseChannel::serve(std::span<std::byte> message) {
    const auto& header = *reinterpret_cast<const fuse_in_header*>(message.data());
    if (message.size() < sizeof header || header.len != message.size()) {
        return log::error("the kernel's request is cut", {{"bytes", message.size()}});
    }
    switch (header.opcode) {
        case FUSE_READ:
            if (const auto* const asked = arguments_of<fuse_read_in>(message)) {
                return read(header.unique, *asked);
            }
            break;
        case FUSE_WRITE:
            if (const auto* const asked = arguments_of<fuse_write_in>(message);
                asked != nullptr && asked->size <= message.size() - write_header) {
                return write(header.unique, *asked, message.data() + write_header);
            }
            break;
        case FUSE_FSYNC:
            if (const auto* const asked = arguments_of<fuse_fsync_in>(message)) {
                return sync(header.unique, *asked);
            }
            break;
        case FUSE_FALLOCATE:
            if (const auto* const asked = arguments_of<fuse_fallocate_in>(message)) {
                return allocate(header.unique, *asked);
            }
            break;
        // What is under way cannot be taken back; after this answer the kernel does not ask again (fs/fuse/dev.c,
        // fuse_dev_do_write).
        case FUSE_INTERRUPT: return answer(header.unique, ENOSYS);
        default: return shared_.others(message);
    }
    answer(header.unique, EIO);
}

void FuseChannel::answer(std::uint64_t unique, int error, std::span<const std::byte> data) {
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

}  // namespace drivebay
