// A folder that holds who one is: client-key.pem, client-cert.pem and ca-cert.pem, the names that libnbd looks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/result.h"
#include "lib/tls/certificates.h"
#include "lib/tls/context.h"
#include "lib/tls/identity.h"

namespace drivebay::tls {

inline constexpr char key_file[] = "client-key.pem";
inline constexpr char certificate_file[] = "client-cert.pem";
inline constexpr char authority_file[] = "ca-cert.pem";

// Text that was read from a file of at most so many bytes.
Result<std::string> read_text(const std::string& path, std::size_t largest = 65536);

struct OwnCertificate {
    Identity identity;
    std::int64_t end = 0;  // seconds since the epoch of Unix
};
// ENOENT where there is none.
Result<OwnCertificate> own_certificate(const std::string& folder);

// The key that is in the folder, or a new one that is put there (the folder is made, mode 0700, the key's file 0600).
Result<Key> key_in(const std::string& folder);

// Puts a certificate and its authority into the folder, durably; the certificate last. EINVAL unless they fit each other and the
// folder's key, and the certificate is for `kind` and `name`.
Status keep_certificate(const std::string& folder, const std::string& certificate, const std::string& authority,
                        Identity::Kind kind, const std::string& name);

// For connections to the management module as who the folder says. `what_to_type` ends the sentence where it holds nobody.
Secure secure_by(std::string folder, std::string what_to_type);

}  // namespace drivebay::tls
