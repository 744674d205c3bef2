// What one side of a TLS connection shows of itself, and whom it believes. OpenSSL, TLS 1.3 and nothing older; the kernel's
// record layer (kTLS) where it has one. One thread at a time.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "lib/base/result.h"
#include "lib/tls/identity.h"

namespace drivebay::tls {

struct Files {
    std::string certificate;  // PEM: one's own, then what leads to its authority
    std::string key;          // PEM
    std::string authority;    // PEM: who signs the other side's certificates
    std::string revoked;      // serial numbers, one a line with anything behind it; empty: there is no such list
};

// The list of revoked certificates, read again whenever its file has changed. While it cannot be read everybody is on it.
class Revocations {
public:
    // The numbers are of that authority's certificates: once its file holds another one or is gone, everybody is on the list.
    // Empty: whosever they are.
    explicit Revocations(std::string path, std::string authority = "");
    bool has(const std::string& serial);
    // What is_new() says of a file: it is another one than at the last look.
    bool is_new();

private:
    void read();
    bool is_of_authority();

    const std::string path_;
    const std::string authority_path_;
    std::string authority_;       // what its file held
    std::string authority_seen_;  // of which file, as below
    bool is_of_authority_ = true;
    std::string seen_;  // of which file: inode, size, time
    bool readable_ = false;
    std::set<std::string> serials_;
};

// Inode, size and time of a file, for comparison; "none" where there is none.
std::string version_of(const std::string& path);

class Context {
public:
    enum class Clients {
        anybody,       // certificates are not asked for; with `authority` they are, and need no identity
        may_identify,  // one that is shown must be good and have an identity
        must_identify,
    };
    // Sentences for what is missing, unreadable, or does not fit together.
    static Result<std::unique_ptr<Context>> server(const Files& files, Clients clients);
    // Believes a management module (its identity's kind) that `authority` has signed.
    static Result<std::unique_ptr<Context>> client(const Files& files);
    // Has no certificate; believes a management module whose authority has that fingerprint.
    static Result<std::unique_ptr<Context>> enrolling(const std::string& fingerprint);

    SSL_CTX* get() const { return context_.get(); }
    // Null where there is no list.
    Revocations* revocations() const { return revocations_.get(); }

private:
    struct FreeContext {
        void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    };
    Context() = default;
    static Result<std::unique_ptr<Context>> make(const SSL_METHOD* method);
    Status use_files(const Files& files);
    static int judge(int good, X509_STORE_CTX* store);
    static int judge_by_fingerprint(X509_STORE_CTX* store, void* context);
    bool is_acceptable(X509* leaf, X509_STORE_CTX* store, const SSL* tls) const;

    std::unique_ptr<SSL_CTX, FreeContext> context_;
    std::unique_ptr<Revocations> revocations_;
    bool wants_identity_ = false;
    bool wants_module_ = false;
    std::string fingerprint_;
};

// What a client's connection shows of itself and whom it believes, made anew for each: a renewed certificate is used from then on.
using Secure = std::function<Result<std::unique_ptr<Context>>()>;

// Whom a certificate was shown for, and which one.
struct Shown {
    Identity identity;
    std::string serial;
};
// After a handshake; nothing where the other side has shown none (or where none with an identity was asked for).
std::optional<Shown> shown_by(const SSL* tls);

// After a handshake that failed: why, and for whom the certificate was, as far as it said.
struct Refusal {
    std::string identity;  // unproved; may be empty
    std::string reason;
};
Refusal refusal_of(const SSL* tls);

}  // namespace drivebay::tls
