#include "fusefs/nbd_server/nbd_stream.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace drivebay::nbd {

void NbdStream::begin_tls(std::shared_ptr<tls::Context> context) {
    begun_ = true;
    context_ = std::move(context);
}

bool NbdStream::make_tls() {
    ERR_clear_error();
    tls_.reset(SSL_new(context_->get()));
    if (tls_ == nullptr || SSL_set_fd(tls_.get(), socket_.get()) != 1) {
        tls_.reset();
        return false;
    }
    SSL_set_accept_state(tls_.get());
    return true;
}

NbdStream::Progress NbdStream::shake_hands() {
    if (tls_ == nullptr && !make_tls()) {
        return Progress::gone;
    }
    ERR_clear_error();
    const int result = SSL_accept(tls_.get());
    if (result == 1) {
        secure_ = true;
        record_.resize(record_size);
        wants_write_ = false;
        return Progress::done;
    }
    if (outcome(result) == 0) {
        return Progress::gone;
    }
    return errno == EAGAIN ? Progress::again : errno == EPROTO ? Progress::refused : Progress::gone;
}

// What SSL_read and its like came to, as the system call would say it. Leaves OpenSSL's errors where they are.
ssize_t NbdStream::outcome(int result) {
    if (result > 0) {
        wants_write_ = false;
        return result;
    }
    const int saved = errno;
    const int error = SSL_get_error(tls_.get(), result);
    wants_write_ = error == SSL_ERROR_WANT_WRITE;
    switch (error) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
        case SSL_ERROR_ZERO_RETURN: return 0;
        case SSL_ERROR_SYSCALL: errno = saved == 0 ? ECONNRESET : saved; return -1;
        default: errno = EPROTO; return -1;
    }
}

ssize_t NbdStream::receive(std::span<const iovec> into) {
    if (!secure_) {
        return readv(socket_.get(), into.data(), static_cast<int>(into.size()));
    }
    std::size_t total = 0;
    for (const iovec& piece : into) {
        for (std::size_t at = 0; at < piece.iov_len;) {
            ERR_clear_error();
            errno = 0;
            const std::size_t most = std::min<std::size_t>(piece.iov_len - at, 1 << 30);
            const ssize_t got =
                outcome(SSL_read(tls_.get(), static_cast<std::byte*>(piece.iov_base) + at, static_cast<int>(most)));
            if (got <= 0) {
                return total > 0 ? static_cast<ssize_t>(total) : got;
            }
            at += static_cast<std::size_t>(got);
            total += static_cast<std::size_t>(got);
        }
    }
    return static_cast<ssize_t>(total);
}

// One record a call. After EAGAIN the same bytes come again, perhaps with more behind them: that is what OpenSSL asks for.
ssize_t NbdStream::send(std::span<const iovec> pieces, bool more) {
    if (!secure_) {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(pieces.data());
        message.msg_iovlen = pieces.size();
        return sendmsg(socket_.get(), &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    }
    std::size_t size = 0;
    for (const iovec& piece : pieces) {
        const std::size_t taken = std::min(piece.iov_len, record_.size() - size);
        std::memcpy(record_.data() + size, piece.iov_base, taken);
        size += taken;
    }
    ERR_clear_error();
    errno = 0;
    return outcome(SSL_write(tls_.get(), record_.data(), static_cast<int>(size)));
}

bool NbdStream::can_send_file() const { return !secure_ || BIO_get_ktls_send(SSL_get_wbio(tls_.get())); }

ssize_t NbdStream::send_file(int file, off_t offset, std::size_t length) {
    if (!secure_) {
        return sendfile(socket_.get(), file, &offset, length);
    }
    ERR_clear_error();
    errno = 0;
    const ossl_ssize_t sent = SSL_sendfile(tls_.get(), file, offset, length, 0);
    return sent > 0 ? sent : outcome(static_cast<int>(sent));
}

void NbdStream::say_goodbye() {
    if (secure_) {
        ERR_clear_error();
        SSL_shutdown(tls_.get());
        ERR_clear_error();
    }
}

}  // namespace drivebay::nbd
