// The bytes of one NBD client: its socket, in plain or, after STARTTLS, in TLS. Nothing here waits. Loop thread only.
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/tls/context.h"
#include "lib/base/fd.h"

namespace drivebay::nbd {

class NbdStream {
public:
    // RFC 8446, 5.1: the largest fragment of a record.
    static constexpr std::size_t record_size = 16384;

    explicit NbdStream(UniqueFd socket) : socket_(std::move(socket)) {}

    int fd() const { return socket_.get(); }
    bool is_secure() const { return secure_; }

    // From here on everything is TLS. It costs nothing of it before shake_hands().
    void begin_tls(std::shared_ptr<tls::Context> context);
    const SSL* tls() const { return tls_.get(); }
    bool is_shaking_hands() const { return begun_ && !secure_; }
    enum class Progress { done, again, refused, gone };
    // Until done, whenever the socket is ready. One of the two refused: tls::refusal_of() says why.
    Progress shake_hands();

    // These three as readv(2), sendmsg(2) and sendfile(2) on a socket that does not block, in plain or not.
    ssize_t receive(std::span<const iovec> into);
    // `more`: what comes next belongs to it.
    ssize_t send(std::span<const iovec> pieces, bool more);
    ssize_t send_file(int file, off_t offset, std::size_t length);
    // send_file() saves a copy.
    bool can_send_file() const;

    // Bytes have arrived that the socket itself will not tell of.
    bool has_pending() const { return secure_ && SSL_pending(tls_.get()) > 0; }
    // What could not be done waits for the socket to be writable (TLS may have to say something in order to hear).
    bool wants_write() const { return wants_write_; }

    // A last word of TLS, so that the other side knows that nothing was cut off.
    void say_goodbye();
    void close() { socket_.reset(); }

private:
    struct Free {
        void operator()(SSL* tls) const { SSL_free(tls); }
    };
    bool make_tls();
    ssize_t outcome(int result);

    UniqueFd socket_;
    std::shared_ptr<tls::Context> context_;
    std::unique_ptr<SSL, Free> tls_;
    bool begun_ = false;
    bool secure_ = false;
    bool wants_write_ = false;
    std::vector<std::byte> record_;  // gathers what goes out in one record
};

}  // namespace drivebay::nbd
