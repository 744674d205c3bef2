// The management module's private authority: a key that signs who is who. It signs nothing but leaves.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/tls/certificates.h"

namespace drivebay::tls {

// Seconds. Each certificate's, and from how long before its end the next one is asked for.
inline constexpr std::int64_t life_of_certificate = 90 * 24 * 3600;
inline constexpr std::int64_t renewed_before_end = life_of_certificate / 3;

struct Issued {
    std::string certificate;  // PEM, without its authority
    std::string serial;       // hexadecimal digits
    std::int64_t end = 0;     // seconds since the epoch of Unix
};

class Authority {
public:
    // A new one, for twenty years.
    static Result<Authority> create();
    // EINVAL where the two do not belong together.
    static Result<Authority> load(std::string_view certificate_pem, std::string_view key_pem);

    // A certificate for the holder of `key`. `addresses`: host names and IP addresses that a module is reached by, for clients
    // that hold the name they typed against the certificate; nobody else gets any. A life of less than nothing is an expired one.
    Result<Issued> issue(EVP_PKEY* key, const Identity& identity, std::chrono::seconds life,
                         const std::vector<std::string>& addresses = {}) const;

    std::string certificate_pem() const { return to_pem(certificate_.get()); }
    Result<std::string> key_pem() const { return to_pem(key_.get()); }
    std::string fingerprint() const { return tls::fingerprint(certificate_.get()); }

private:
    Authority(Key key, Certificate certificate) : key_(std::move(key)), certificate_(std::move(certificate)) {}

    Key key_;
    Certificate certificate_;
};

}  // namespace drivebay::tls
