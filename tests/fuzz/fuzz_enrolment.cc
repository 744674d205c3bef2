#include <openssl/err.h>

#include "arbiter/api/rights.h"
#include "lib/tls/certificates.h"
#include "lib/tls/identity.h"
#include "lib/tls/token.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

namespace {

void check_identity(const std::string& text) {
    const auto identity = tls::parse_identity(text);
    require(!identity || to_string(*identity) == text, "an identity has a second spelling");
    rpc::Peer peer;
    peer.secure = true;
    peer.identity = text;
    const std::string blade = arbiter::blade_of(peer);
    require(blade.empty() || text == "drivebay:blade/" + blade, "somebody is a blade by another name");
    require(arbiter::denial(peer, {arbiter::Verb::administer, ""}).has_value() ||
                (identity && identity->role == tls::Role::admin && identity->kind == tls::Identity::Kind::operator_),
            "somebody is an admin");
}

void check_token(const std::string& text) {
    const auto token = tls::parse_token(text);
    if (!token) {
        return;
    }
    const auto again = tls::parse_token(to_string(*token));
    require(again && again->blade == token->blade && again->secret == token->secret && again->fingerprint == token->fingerprint,
            "a token is not what it was when it is written down");
}

// Whatever certificate somebody shows.
void check_certificate(const std::string& bytes) {
    const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
    const tls::Certificate certificate(d2i_X509(nullptr, &data, static_cast<long>(bytes.size())));
    ERR_clear_error();
    if (!certificate) {
        return;
    }
    const auto identity = tls::identity_of(certificate.get());
    require(!identity || tls::parse_identity(to_string(*identity)).ok(), "a certificate has an identity that is none");
    (void)tls::serial_of(certificate.get());
    (void)tls::end_of(certificate.get());
}

// A request of somebody who has no certificate, and what it may.
void check_request(Reader& input) {
    rpc::Request request;
    request.method = input.number<std::uint8_t>() % 2 == 0 ? "POST" : "GET";
    request.path = input.text(64);
    request.body = input.rest();
    request.peer.secure = true;
    require(arbiter::denial(request.peer, arbiter::demand_of(request)).has_value() ||
                (request.method == "POST" && request.path == "/v1/enroll"),
            "a stranger may something");
}

}  // namespace

void enrolment(Bytes bytes) {
    Reader input(bytes);
    switch (input.number<std::uint8_t>() % 6) {
        case 0: return check_identity(input.rest());
        case 1: return check_token(input.rest());
        case 2: return check_certificate(input.rest());
        case 3: return check_request(input);
        case 4: (void)tls::key_of_request(input.rest()); return;
        default: (void)tls::certificate_from_pem(input.rest()); return;
    }
}

}  // namespace drivebay::fuzz
