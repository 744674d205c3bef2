#include "lib/tls/authority.h"

#include <openssl/err.h>

#include <cerrno>
#include <ctime>
#include <utility>

namespace drivebay::tls {
namespace {

constexpr std::chrono::seconds life_of_an_authority = std::chrono::hours(24) * 365 * 20;

Error failed() { return Error{EINVAL, "no certificate can be made: " + tls_error()}; }

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

// Not by a text that OpenSSL would take apart again: an address may hold anything.
bool add_name(GENERAL_NAMES* names, int type, std::string_view text) {
    GENERAL_NAME* const name = GENERAL_NAME_new();
    ASN1_STRING* value = nullptr;
    if (type == GEN_IPADD) {
        value = a2i_IPADDRESS(std::string(text).c_str());
    } else {
        value = ASN1_IA5STRING_new();
        if (value != nullptr && ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
            ASN1_STRING_free(value);
            value = nullptr;
        }
    }
    if (name == nullptr || value == nullptr) {
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) == 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

bool add_names(X509* certificate, const Identity& identity, const std::vector<std::string>& addresses) {
    const GeneralNames names(GENERAL_NAMES_new());
    bool added = names && add_name(names.get(), GEN_URI, to_string(identity));
    for (const std::string& address : addresses) {
        ASN1_OCTET_STRING* const numeric = a2i_IPADDRESS(address.c_str());
        added = added && add_name(names.get(), numeric != nullptr ? GEN_IPADD : GEN_DNS, address);
        ASN1_OCTET_STRING_free(numeric);
        ERR_clear_error();
    }
    return added && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

// Version, serial, life, subject, key. The subject tells nobody's name: some clients take one there for a host's.
Certificate begin(EVP_PKEY* key, std::chrono::seconds life, const char* what) {
    Certificate certificate(X509_new());
    std::string serial = random_bytes(16);
    serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // positive, and of full length
    BIGNUM* const number = BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr);
    bool good = certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get())) != nullptr;
    BN_free(number);
    // A board without a battery begins in 1970, and is not to be locked out until it has heard the time.
    good = good && ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate.get()), "19700101000000Z") == 1 &&
           ASN1_TIME_set(X509_getm_notAfter(certificate.get()), std::time(nullptr) + life.count()) != nullptr;
    X509_NAME* const subject = good ? X509_get_subject_name(certificate.get()) : nullptr;
    const auto add = [subject](const char* field, const char* text) {
        return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text), -1,
                                          -1, 0) == 1;
    };
    good = good && add("O", "drivebay") && add("OU", what) && X509_set_pubkey(certificate.get(), key) == 1;
    return good ? std::move(certificate) : Certificate();
}

}  // namespace

Result<Authority> Authority::create() {
    auto key = make_key();
    if (!key) {
        return key.error();
    }
    Certificate certificate = begin(key->get(), life_of_an_authority, "authority");
    if (!certificate || X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) != 1) {
        return failed();
    }
    X509* const self = certificate.get();
    if (!add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(self, self, NID_subject_key_identifier, "hash") ||
        X509_sign(self, key->get(), EVP_sha256()) <= 0) {
        return failed();
    }
    return Authority(std::move(*key), std::move(certificate));
}

Result<Authority> Authority::load(std::string_view certificate_pem, std::string_view key_pem) {
    auto certificate = certificate_from_pem(certificate_pem);
    if (!certificate) {
        return certificate.error();
    }
    auto key = key_from_pem(key_pem);
    if (!key) {
        return key.error();
    }
    if (X509_check_private_key(certificate->get(), key->get()) != 1) {
        ERR_clear_error();
        return Error{EINVAL, "the authority's certificate and key do not belong together"};
    }
    return Authority(std::move(*key), std::move(*certificate));
}

Result<Issued> Authority::issue(EVP_PKEY* key, const Identity& identity, std::chrono::seconds life,
                                const std::vector<std::string>& addresses) const {
    ERR_clear_error();
    const bool is_module = identity.kind == Identity::Kind::module;
    if (!addresses.empty() && !is_module) {
        return Error{EINVAL, "only a management module is reached by an address"};
    }
    const char* const what = is_module ? "module" : identity.kind == Identity::Kind::blade ? "blade" : "operator";
    const Certificate certificate = begin(key, life, what);
    X509* const made = certificate.get();
    if (made == nullptr || X509_set_issuer_name(made, X509_get_subject_name(certificate_.get())) != 1 ||
        !add_extension(made, certificate_.get(), NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(made, certificate_.get(), NID_key_usage, "critical,digitalSignature") ||
        !add_extension(made, certificate_.get(), NID_ext_key_usage, is_module ? "serverAuth" : "clientAuth") ||
        !add_extension(made, certificate_.get(), NID_subject_key_identifier, "hash") ||
        !add_extension(made, certificate_.get(), NID_authority_key_identifier, "keyid:always") ||
        !add_names(made, identity, addresses) || X509_sign(made, key_.get(), EVP_sha256()) <= 0) {
        return failed();
    }
    return Issued{to_pem(made), serial_of(made), end_of(made)};
}

}  // namespace drivebay::tls
