// What an operator carries to a blade, once: which blade it is to be, a secret, and by what it knows the module.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/result.h"

namespace drivebay::tls {

struct Token {
    std::string blade;
    std::string secret;       // 16 bytes
    std::string fingerprint;  // SHA-256 of the module's authority, 32 bytes
};

// One word of letters, digits, '-' and '_'.
std::string to_string(const Token& token);
// EINVAL with a sentence where it is none.
Result<Token> parse_token(std::string_view text);

}  // namespace drivebay::tls
