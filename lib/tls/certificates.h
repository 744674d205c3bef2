// Keys, certificates and requests for them as PEM: making, reading, comparing. Nothing here touches a file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/tls/identity.h"
#include "lib/tls/openssl.h"

namespace drivebay::tls {

// A fresh key: EC, P-256.
Result<Key> make_key();
Result<std::string> to_pem(EVP_PKEY* key);
Result<Key> key_from_pem(std::string_view pem);

std::string to_pem(X509* certificate);
// The first of the text.
Result<Certificate> certificate_from_pem(std::string_view pem);

// A request that proves to have `key`. What it says of its subject is nothing: an authority decides that itself.
Result<std::string> make_request(EVP_PKEY* key);
// The public key of a request that was signed with its private one: EC P-256 or Ed25519, nothing weaker or odd.
Result<Key> key_of_request(std::string_view pem);

// Whether a certificate (PEM) is for the holder of that key.
bool is_for_key(std::string_view certificate_pem, const EVP_PKEY* key);

// SHA-256 of the certificate (DER), 32 bytes.
std::string fingerprint(const X509* certificate);
// The serial number in hexadecimal digits.
std::string serial_of(const X509* certificate);
// Seconds since the epoch of Unix.
std::int64_t end_of(const X509* certificate);

// 32 bytes.
std::string sha256(std::string_view bytes);
// From the kernel's generator.
std::string random_bytes(std::size_t count);

// Base64 as it may stand in an address or a command line (RFC 4648, section 5), without padding.
std::string to_base64url(std::string_view bytes);
// EINVAL where it is none.
Result<std::string> from_base64url(std::string_view text);

}  // namespace drivebay::tls
