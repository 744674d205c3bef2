#include "fusefs/nbd_client/nbd_wire.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace drivebay {

namespace {

// Who sent a piece, and the token that was sent with it.
using Call = std::pair<NbdWire*, void*>;

// Inside libnbd's lock, once for each context's chunk. `entries`: pairs of a length and a state ([Reply types]).
int keep_extents(void* user_data, const char* context, std::uint64_t, std::uint32_t* entries, std::size_t count, int*) {
    ExtentList& into = *static_cast<ExtentList*>(user_data);
    if (context != std::string_view(LIBNBD_CONTEXT_BASE_ALLOCATION)) {
        return 0;
    }
    for (std::size_t i = 0; i + 1 < count && into.found.size() < into.limit; i += 2) {
        const std::uint32_t state = entries[i + 1];
        into.found.push_back({entries[i], (state & LIBNBD_STATE_HOLE) != 0, (state & LIBNBD_STATE_ZERO) != 0});
    }
    return 0;
}

void free_call(void* user_data) {
    const std::unique_ptr<Call> call(static_cast<Call*>(user_data));
}

}  // namespace

NbdWire::NbdWire(EventLoop& loop, NbdHandle handle, std::function<void()> on_activity)
    : loop_(loop), handle_(std::move(handle)), on_activity_(std::move(on_activity)) {
    fd_.reset(fcntl(nbd_aio_get_fd(handle_.get()), F_DUPFD_CLOEXEC, 0));
    if (!fd_) {
        lost_ = true;
        look_after_call();
        return;
    }
    watched_ = EPOLLIN;
    loop_.add(fd_.get(), watched_, [this](std::uint32_t events) { on_events(events); });
}

NbdWire::~NbdWire() {
    *alive_ = false;
    if (fd_) {
        loop_.remove(fd_.get());
    }
}

// Inside libnbd's lock: nothing of libnbd may be called from here, so the answer is only written down. 1: libnbd may
// forget the command.
int NbdWire::on_answer(void* user_data, int* error) {
    const auto* const call = static_cast<Call*>(user_data);
    // ENOTCONN is no NBD error (NBD doc/proto.md, "Error values"): it is libnbd's word for a connection that ended.
    if (*error == ENOTCONN) {
        call->first->lost_ = true;
    } else {
        call->first->answers_.push_back({call->second, *error});
    }
    return 1;
}

void NbdWire::send(const NbdPiece& piece, void* token) {
    if (lost_) {
        return;
    }
    // libnbd owns the pair from here on, and frees it even where the call fails.
    const nbd_completion_callback callback = {on_answer, std::make_unique<Call>(this, token).release(), free_call};
    const std::uint32_t fua = piece.fua ? LIBNBD_CMD_FLAG_FUA : 0;
    nbd_handle* const handle = handle_.get();
    std::int64_t cookie = -1;
    switch (piece.command) {
        case IoOperation::read:
            cookie = nbd_aio_pread(handle, piece.data, piece.length, piece.offset, callback, 0);
            break;
        case IoOperation::write:
            cookie = nbd_aio_pwrite(handle, piece.data, piece.length, piece.offset, callback, fua);
            break;
        case IoOperation::flush: cookie = nbd_aio_flush(handle, callback, 0); break;
        case IoOperation::write_zeroes:
            cookie = nbd_aio_zero(handle, piece.length, piece.offset, callback,
                                  fua | (piece.may_trim ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
            break;
        case IoOperation::trim: cookie = nbd_aio_trim(handle, piece.length, piece.offset, callback, fua); break;
        case IoOperation::cache: cookie = nbd_aio_cache(handle, piece.length, piece.offset, callback, 0); break;
        case IoOperation::block_status: cookie = block_status(handle, piece, callback); break;
    }
    if (cookie < 0) {
        if (nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1) {
            lost_ = true;
        } else {
            answers_.push_back({token, nbd_get_errno() == 0 ? EIO : nbd_get_errno()});
        }
    }
    look_after_call();
}

std::int64_t NbdWire::block_status(nbd_handle* handle, const NbdPiece& piece, nbd_completion_callback callback) {
    const nbd_extent_callback keep = {keep_extents, piece.extents, nullptr};
    return nbd_aio_block_status(handle, piece.length, piece.offset, keep, callback,
                                piece.extents->limit == 1 ? LIBNBD_CMD_FLAG_REQ_ONE : 0);
}

std::vector<NbdWire::Answer> NbdWire::take_answers() {
    return std::exchange(answers_, {});
}

bool NbdWire::heard() {
    return std::exchange(heard_, false);
}

// SIOCOUTQ: what the other side's kernel has not acknowledged (tcp(7)), or not read (unix(7)).
bool NbdWire::moves() {
    int unsent = 0;
    if (ioctl(fd_.get(), SIOCOUTQ, &unsent) != 0) {
        return false;
    }
    const bool fell = unsent < std::exchange(unsent_, unsent);
    return std::exchange(took_, false) || fell;
}

void NbdWire::say_goodbye() {
    if (!lost_) {
        (void)nbd_aio_disconnect(handle_.get(), 0);
    }
}

void NbdWire::on_events(std::uint32_t events) {
    nbd_handle* const handle = handle_.get();
    const unsigned direction = nbd_aio_get_direction(handle);
    if ((events & EPOLLIN) != 0 && (direction & LIBNBD_AIO_DIRECTION_READ) != 0) {
        heard_ = true;
        (void)nbd_aio_notify_read(handle);
    } else if ((events & EPOLLOUT) != 0 && (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
        took_ = true;
        (void)nbd_aio_notify_write(handle);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        lost_ = true;
    }
    look_after_call();
    if (activity_due_) {
        // A copy: the callback may destroy the wire and with it the function that runs.
        activity_due_ = false;
        const std::function<void()> on_activity = on_activity_;
        on_activity();
    }
}

void NbdWire::look_after_call() {
    nbd_handle* const handle = handle_.get();
    lost_ = lost_ || nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1;
    std::uint32_t wanted = 0;
    if (!lost_) {
        const unsigned direction = nbd_aio_get_direction(handle);
        wanted |= (direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? static_cast<std::uint32_t>(EPOLLIN) : 0U;
        wanted |= (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? static_cast<std::uint32_t>(EPOLLOUT) : 0U;
    }
    if (wanted != watched_ && fd_) {
        watched_ = wanted;
        loop_.modify(fd_.get(), wanted);
    }
    if ((lost_ || heard_ || !answers_.empty()) && !activity_due_) {
        activity_due_ = true;
        loop_.at_round_end([this, alive = alive_] {
            if (*alive && activity_due_) {
                activity_due_ = false;
                const std::function<void()> on_activity = on_activity_;
                on_activity();
            }
        });
    }
}

}  // namespace drivebay
