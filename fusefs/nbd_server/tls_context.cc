#include "fusefs/nbd_server/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <cerrno>

#include "lib/base/log.h"

namespace drivebay::nbd {

std::string tls_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return reason == nullptr ? "no reason given" : reason;
}

Result<std::unique_ptr<TlsContext>> TlsContext::load(const TlsFiles& files) {
    ERR_clear_error();
    std::unique_ptr<TlsContext> made(new TlsContext(SSL_CTX_new(TLS_server_method())));
    SSL_CTX* const context = made->get();
    const auto refusal = [](const char* what, const std::string& file) {
        return Error{EINVAL, fmt::format("TLS: the {} {} cannot be used: {}", what, log::quoted(file), tls_error())};
    };
    if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        return Error{EOPNOTSUPP, "OpenSSL has no TLS 1.3: " + tls_error()};
    }
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
        return refusal("certificate", files.certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return refusal("key", files.key);
    }
    if (!files.client_ca.empty()) {
        if (SSL_CTX_load_verify_locations(context, files.client_ca.c_str(), nullptr) != 1) {
            return refusal("clients' authority", files.client_ca);
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // A connection lives for days and is made once: there is nothing to resume.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    return made;
}

}  // namespace drivebay::nbd
