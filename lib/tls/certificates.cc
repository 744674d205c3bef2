#include "lib/tls/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "lib/base/base64.h"

namespace drivebay::tls {
namespace {

constexpr std::size_t longest_pem = 16384;

Bio reader(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string text_of(const Bio& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<std::size_t>(std::max(0L, size)));
}

Error failed(const char* what) { return Error{EINVAL, std::string(what) + ": " + tls_error()}; }

bool is_strong(const EVP_PKEY* key) {
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
        return true;
    }
    char group[64] = {};
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1 && std::string_view(group) == "prime256v1";
}

// Never asks anybody for a pass phrase.
int no_pass_phrase(char*, int, int, void*) { return -1; }

}  // namespace

std::string tls_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return reason == nullptr ? "no reason given" : reason;
}

Result<Key> make_key() {
    ERR_clear_error();
    Key key(EVP_EC_gen("P-256"));
    return key ? Result<Key>(std::move(key)) : Result<Key>(failed("no key can be made"));
}

Result<std::string> to_pem(EVP_PKEY* key) {
    const Bio bio(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return failed("the key cannot be written");
    }
    return text_of(bio);
}

Result<Key> key_from_pem(std::string_view pem) {
    ERR_clear_error();
    Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_pass_phrase, nullptr));
    return key ? Result<Key>(std::move(key)) : Result<Key>(failed("this is no private key"));
}

std::string to_pem(X509* certificate) {
    const Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate);
    return text_of(bio);
}

Result<Certificate> certificate_from_pem(std::string_view pem) {
    ERR_clear_error();
    Certificate certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, no_pass_phrase, nullptr));
    return certificate ? Result<Certificate>(std::move(certificate)) : Result<Certificate>(failed("this is no certificate"));
}

Result<std::string> make_request(EVP_PKEY* key) {
    ERR_clear_error();
    const SigningRequest request(X509_REQ_new());
    const EVP_MD* const digest = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
    if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(request.get(), key) != 1 || X509_REQ_sign(request.get(), key, digest) <= 0) {
        return failed("no request for a certificate can be made");
    }
    const Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509_REQ(bio.get(), request.get());
    return text_of(bio);
}

Result<Key> key_of_request(std::string_view pem) {
    ERR_clear_error();
    if (pem.size() > longest_pem) {
        return Error{EINVAL, "the request for a certificate is too large"};
    }
    const SigningRequest request(PEM_read_bio_X509_REQ(reader(pem).get(), nullptr, no_pass_phrase, nullptr));
    if (!request) {
        return failed("this is no request for a certificate");
    }
    Key key(X509_REQ_get_pubkey(request.get()));
    if (!key || !is_strong(key.get())) {
        ERR_clear_error();
        return Error{EINVAL, "the key of a certificate is EC P-256 or Ed25519; this one is not"};
    }
    if (X509_REQ_verify(request.get(), key.get()) != 1) {
        ERR_clear_error();
        return Error{EINVAL, "the request for a certificate is not signed with its own key"};
    }
    return key;
}

bool is_for_key(std::string_view certificate_pem, const EVP_PKEY* key) {
    const auto certificate = certificate_from_pem(certificate_pem);
    return certificate && EVP_PKEY_eq(X509_get0_pubkey(certificate->get()), key) == 1;
}

std::string fingerprint(const X509* certificate) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509_digest(certificate, EVP_sha256(), digest, &size);
    return std::string(reinterpret_cast<const char*>(digest), size);
}

std::string serial_of(const X509* certificate) {
    BIGNUM* const number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
    char* const digits = number == nullptr ? nullptr : BN_bn2hex(number);
    std::string text = digits == nullptr ? "" : digits;
    OPENSSL_free(digits);
    BN_free(number);
    return text;
}

std::int64_t end_of(const X509* certificate) {
    tm when{};
    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) == 1 ? static_cast<std::int64_t>(timegm(&when)) : 0;
}

std::string sha256(std::string_view bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
    return std::string(reinterpret_cast<const char*>(digest), size);
}

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1) {
        std::abort();  // without it no secret is one
    }
    return bytes;
}

std::string to_base64url(std::string_view bytes) {
    std::string text = to_base64(bytes);
    std::erase(text, '=');
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    return text;
}

Result<std::string> from_base64url(std::string_view text) {
    std::string plain(text);
    const Error strange{EINVAL, "it has characters that do not belong there, or has been cut"};
    if (plain.find_first_of("+/=") != std::string::npos) {
        return strange;
    }
    std::replace(plain.begin(), plain.end(), '-', '+');
    std::replace(plain.begin(), plain.end(), '_', '/');
    plain.append((4 - plain.size() % 4) % 4, '=');
    auto bytes = from_base64(plain);
    return bytes ? Result<std::string>(std::move(*bytes)) : Result<std::string>(strange);
}

}  // namespace drivebay::tls
