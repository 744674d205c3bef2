#include "lib/tls/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "lib/base/durable_file.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

namespace drivebay::tls {
namespace {

std::string in(const std::string& folder, const char* file) { return folder + "/" + file; }

}  // namespace

Result<std::string> read_text(const std::string& path, std::size_t largest) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return system_error(errno, "cannot read " + path);
    }
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got < 0 && errno != EINTR) {
            return system_error(errno, "cannot read " + path);
        }
        if (got == 0) {
            return text;
        }
        text.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
        if (text.size() > largest) {
            return Error{EFBIG, fmt::format("{} is too large to be what it should", path)};
        }
    }
}

Result<OwnCertificate> own_certificate(const std::string& folder) {
    const auto text = read_text(in(folder, certificate_file));
    if (!text) {
        return text.error();
    }
    const auto certificate = certificate_from_pem(*text);
    if (!certificate) {
        return Error{EINVAL, fmt::format("{}: {}", in(folder, certificate_file), certificate.error().message)};
    }
    const auto identity = identity_of(certificate->get());
    if (!identity) {
        return Error{EINVAL, fmt::format("{}: {}", in(folder, certificate_file), identity.error().message)};
    }
    return OwnCertificate{*identity, end_of(certificate->get())};
}

Result<Key> key_in(const std::string& folder) {
    const std::string path = in(folder, key_file);
    if (const auto text = read_text(path)) {
        return key_from_pem(*text);
    } else if (text.error().code != ENOENT) {
        return text.error();
    }
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), error);
    if (error || (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)) {
        return system_error(error ? error.value() : errno, "cannot make the folder " + folder);
    }
    auto key = make_key();
    if (!key) {
        return key.error();
    }
    const auto pem = to_pem(key->get());
    if (!pem) {
        return pem.error();
    }
    if (Status written = write_durably(path, *pem, 0600); !written) {
        return written.error();
    }
    return key;
}

Status keep_certificate(const std::string& folder, const std::string& certificate, const std::string& authority,
                        Identity::Kind kind, const std::string& name) {
    const auto leaf = certificate_from_pem(certificate);
    const auto root = certificate_from_pem(authority);
    const auto key = key_in(folder);
    if (!leaf || !root || !key) {
        return !leaf ? leaf.error() : !root ? root.error() : key.error();
    }
    const auto identity = identity_of(leaf->get());
    if (!identity || identity->kind != kind || identity->name != name) {
        return Error{EINVAL, "the certificate that came is not for who was asked"};
    }
    const Key signer(X509_get_pubkey(root->get()));
    if (X509_check_private_key(leaf->get(), key->get()) != 1 || X509_verify(leaf->get(), signer.get()) != 1) {
        ERR_clear_error();
        return Error{EINVAL, "the certificate that came fits neither this key nor that authority"};
    }
    if (Status written = write_durably(in(folder, authority_file), authority, 0644); !written) {
        return written;
    }
    return write_durably(in(folder, certificate_file), certificate, 0644);
}

Secure secure_by(std::string folder, std::string what_to_type) {
    return [folder = std::move(folder), what = std::move(what_to_type)]() -> Result<std::unique_ptr<Context>> {
        if (::access(in(folder, certificate_file).c_str(), R_OK) != 0) {
            return Error{ENOENT, fmt::format("there is no certificate in {}: {}", folder, what)};
        }
        return Context::client({in(folder, certificate_file), in(folder, key_file), in(folder, authority_file), ""});
    };
}

}  // namespace drivebay::tls
