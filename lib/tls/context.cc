#include "lib/tls/context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "lib/base/log.h"
#include "lib/tls/certificates.h"

namespace drivebay::tls {
namespace {

// Each connection's Refusal, freed with it.
int refusal_index() {
    static const int index = SSL_get_ex_new_index(
        0, nullptr, nullptr, nullptr,
        [](void*, void* refusal, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<Refusal*>(refusal); });
    return index;
}

// Not the "app data", which Asio takes for its own.
int context_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

void keep_refusal(const SSL* tls, X509* leaf, const std::string& reason) {
    auto* const connection = const_cast<SSL*>(tls);
    delete static_cast<Refusal*>(SSL_get_ex_data(connection, refusal_index()));
    const auto identity = leaf == nullptr ? Result<Identity>(Error{}) : identity_of(leaf);
    SSL_set_ex_data(connection, refusal_index(), new Refusal{identity ? to_string(*identity) : "", reason});
}

// Empty where there is none.
std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

const SSL* connection_of(X509_STORE_CTX* store) {
    return static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
}

}  // namespace

std::string version_of(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) != 0 ? "none"
                                              : fmt::format("{} {} {}.{}", status.st_ino, status.st_size,
                                                            status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

Revocations::Revocations(std::string path, std::string authority)
    : path_(std::move(path)),
      authority_path_(std::move(authority)),
      authority_(text_of(authority_path_)),
      authority_seen_(version_of(authority_path_)) {}

bool Revocations::is_new() {
    const std::string now = version_of(path_);
    if (now == seen_) {
        return false;
    }
    seen_ = now;
    read();
    return true;
}

bool Revocations::is_of_authority() {
    const std::string now = version_of(authority_path_);
    if (now != authority_seen_) {
        authority_seen_ = now;
        is_of_authority_ = text_of(authority_path_) == authority_;
    }
    return is_of_authority_;
}

void Revocations::read() {
    serials_.clear();
    std::ifstream file(path_);
    readable_ = file.is_open();
    for (std::string line; std::getline(file, line);) {
        serials_.insert(line.substr(0, line.find(' ')));
    }
    readable_ = readable_ && file.eof();
    if (!readable_) {
        log::error("the list of revoked certificates cannot be read: nobody is let in by TLS", {{"file", path_}});
    }
}

bool Revocations::has(const std::string& serial) {
    (void)is_new();
    return !readable_ || !is_of_authority() || serials_.contains(serial);
}

Result<std::unique_ptr<Context>> Context::make(const SSL_METHOD* method) {
    ERR_clear_error();
    std::unique_ptr<Context> made(new Context);
    made->context_.reset(SSL_CTX_new(method));
    SSL_CTX* const context = made->get();
    if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        return Error{EOPNOTSUPP, "OpenSSL has no TLS 1.3: " + tls_error()};
    }
    SSL_CTX_set_ex_data(context, context_index(), made.get());
    SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // A connection lives for days and is made once: there is nothing to resume.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    return made;
}

Status Context::use_files(const Files& files) {
    const auto refusal = [](const char* what, const std::string& file) {
        return Error{EINVAL, fmt::format("TLS: the {} {} cannot be used: {}", what, log::quoted(file), tls_error())};
    };
    if (SSL_CTX_use_certificate_chain_file(get(), files.certificate.c_str()) != 1) {
        return refusal("certificate", files.certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return refusal("key", files.key);
    }
    if (!files.authority.empty() && SSL_CTX_load_verify_locations(get(), files.authority.c_str(), nullptr) != 1) {
        return refusal("authority", files.authority);
    }
    if (!files.revoked.empty()) {
        revocations_ = std::make_unique<Revocations>(files.revoked, files.authority);
    }
    return success();
}

Result<std::unique_ptr<Context>> Context::server(const Files& files, Clients clients) {
    auto made = make(TLS_server_method());
    if (!made) {
        return made;
    }
    if (Status used = (*made)->use_files(files); !used) {
        return used.error();
    }
    (*made)->wants_identity_ = clients != Clients::anybody;
    const bool asks = (*made)->wants_identity_ || !files.authority.empty();
    const int mode = SSL_VERIFY_PEER | (clients == Clients::may_identify ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    SSL_CTX_set_verify((*made)->get(), asks ? mode : SSL_VERIFY_NONE, asks ? &judge : nullptr);
    return made;
}

Result<std::unique_ptr<Context>> Context::client(const Files& files) {
    auto made = make(TLS_client_method());
    if (!made) {
        return made;
    }
    if (Status used = (*made)->use_files(files); !used) {
        return used.error();
    }
    (*made)->wants_identity_ = (*made)->wants_module_ = true;
    SSL_CTX_set_verify((*made)->get(), SSL_VERIFY_PEER, &judge);
    return made;
}

Result<std::unique_ptr<Context>> Context::enrolling(const std::string& fingerprint) {
    auto made = make(TLS_client_method());
    if (!made) {
        return made;
    }
    (*made)->wants_identity_ = (*made)->wants_module_ = true;
    (*made)->fingerprint_ = fingerprint;
    SSL_CTX_set_verify((*made)->get(), SSL_VERIFY_PEER, &judge);
    SSL_CTX_set_cert_verify_callback((*made)->get(), &judge_by_fingerprint, made->get());
    return made;
}

// After OpenSSL's own look at a certificate of the chain (signature, life, purpose).
int Context::judge(int good, X509_STORE_CTX* store) {
    const SSL* const tls = connection_of(store);
    X509* const leaf = X509_STORE_CTX_get0_cert(store);
    if (good != 1) {
        keep_refusal(tls, leaf, X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
        return 0;
    }
    const auto* const self = static_cast<const Context*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), context_index()));
    return X509_STORE_CTX_get_error_depth(store) != 0 || self->is_acceptable(leaf, store, tls) ? 1 : 0;
}

bool Context::is_acceptable(X509* leaf, X509_STORE_CTX* store, const SSL* tls) const {
    const auto refuse = [&](int code, const std::string& reason) {
        X509_STORE_CTX_set_error(store, code);
        keep_refusal(tls, leaf, reason);
        return false;
    };
    if (wants_identity_) {
        const auto identity = identity_of(leaf);
        if (!identity) {
            return refuse(X509_V_ERR_APPLICATION_VERIFICATION, identity.error().message);
        }
        if ((identity->kind == Identity::Kind::module) != wants_module_) {
            return refuse(X509_V_ERR_APPLICATION_VERIFICATION, wants_module_ ? "this is no management module's certificate"
                                                                             : "a management module is nobody's client");
        }
    }
    if (revocations_ && revocations_->has(serial_of(leaf))) {
        return refuse(X509_V_ERR_CERT_REVOKED, "the certificate was revoked");
    }
    return true;
}

// Whoever sends along the authority that the token names, and a certificate signed by it, is the module of the token.
int Context::judge_by_fingerprint(X509_STORE_CTX* store, void* context) {
    const auto* const self = static_cast<const Context*>(context);
    STACK_OF(X509)* const sent = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(sent); ++i) {
        X509* const authority = sk_X509_value(sent, i);
        if (fingerprint(authority) == self->fingerprint_) {
            STACK_OF(X509)* const trusted = sk_X509_new_null();
            sk_X509_push(trusted, authority);
            X509_STORE_CTX_set0_trusted_stack(store, trusted);
            const int good = X509_verify_cert(store);
            sk_X509_free(trusted);
            return good;
        }
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    keep_refusal(connection_of(store), X509_STORE_CTX_get0_cert(store), "it has another authority than the one named");
    return 0;
}

std::optional<Shown> shown_by(const SSL* tls) {
    const X509* const leaf = SSL_get0_peer_certificate(tls);
    if (leaf == nullptr || SSL_get_verify_result(tls) != X509_V_OK) {
        return std::nullopt;
    }
    const auto identity = identity_of(leaf);
    return identity ? std::optional<Shown>(Shown{*identity, serial_of(leaf)}) : std::nullopt;
}

Refusal refusal_of(const SSL* tls) {
    if (const auto* const kept = static_cast<const Refusal*>(SSL_get_ex_data(tls, refusal_index()))) {
        ERR_clear_error();
        return *kept;
    }
    return {"", tls_error()};
}

}  // namespace drivebay::tls
