#include "lib/tls/token.h"

#include <cerrno>

#include "lib/base/names.h"
#include "lib/tls/certificates.h"

namespace drivebay::tls {
namespace {

constexpr std::size_t fingerprint_size = 32;
constexpr std::size_t secret_size = 16;
// So that a word of something else, or one that was cut, is told from a token before anybody is asked.
constexpr std::size_t sum_size = 4;

}  // namespace

std::string to_string(const Token& token) {
    const std::string bytes = token.fingerprint + token.secret + token.blade;
    return to_base64url(bytes + sha256(bytes).substr(0, sum_size));
}

Result<Token> parse_token(std::string_view text) {
    const Error strange{EINVAL, "this is no token, or not all of it: copy the whole word that `drivebay enroll` printed"};
    const auto bytes = from_base64url(text);
    if (!bytes || bytes->size() <= fingerprint_size + secret_size + sum_size) {
        return strange;
    }
    const std::string body = bytes->substr(0, bytes->size() - sum_size);
    Token token;
    token.fingerprint = body.substr(0, fingerprint_size);
    token.secret = body.substr(fingerprint_size, secret_size);
    token.blade = body.substr(fingerprint_size + secret_size);
    const bool whole = sha256(body).substr(0, sum_size) == bytes->substr(body.size());
    return whole && check_name("blade", token.blade) ? Result<Token>(token) : Result<Token>(strange);
}

}  // namespace drivebay::tls
