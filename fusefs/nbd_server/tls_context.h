// The certificate that NBD clients see, and whom they must be known by. OpenSSL, TLS 1.3 and nothing older; the kernel's
// record layer (kTLS) where it has one.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "lib/base/result.h"

namespace drivebay::nbd {

struct TlsFiles {
    std::string certificate;  // PEM: this server's, then what leads to its authority
    std::string key;          // PEM
    std::string client_ca;    // PEM: who signs the clients' certificates; empty: a client needs none
};

class TlsContext {
public:
    // Sentences for what is missing, unreadable, or does not fit together.
    static Result<std::unique_ptr<TlsContext>> load(const TlsFiles& files);

    SSL_CTX* get() const { return context_.get(); }

private:
    struct Free {
        void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    };
    explicit TlsContext(SSL_CTX* context) : context_(context) {}
    std::unique_ptr<SSL_CTX, Free> context_;
};

// The first of OpenSSL's queued errors in words; the queue is empty after.
std::string tls_error();

}  // namespace drivebay::nbd
