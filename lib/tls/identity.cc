#include "lib/tls/identity.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::tls {
namespace {

constexpr std::array<std::pair<Identity::Kind, std::string_view>, 3> kinds = {
    {{Identity::Kind::blade, "blade"}, {Identity::Kind::operator_, "operator"}, {Identity::Kind::module, "module"}}};

constexpr std::array<std::pair<Role, std::string_view>, 3> roles = {
    {{Role::view, "view"}, {Role::operate, "operate"}, {Role::admin, "admin"}}};

std::string_view kind_text(Identity::Kind kind) {
    for (const auto& [known, text] : kinds) {
        if (known == kind) {
            return text;
        }
    }
    return "";
}

}  // namespace

std::string_view to_string(Role role) {
    for (const auto& [known, text] : roles) {
        if (known == role) {
            return text;
        }
    }
    return "";
}

Result<Role> parse_role(std::string_view text) {
    for (const auto& [role, known] : roles) {
        if (known == text) {
            return role;
        }
    }
    return Error{EINVAL, fmt::format("{} is no role: it is view, operate or admin", log::quoted(text))};
}

std::string to_string(const Identity& identity) {
    std::string text = fmt::format("drivebay:{}/{}", kind_text(identity.kind), identity.name);
    if (identity.kind == Identity::Kind::operator_) {
        text += fmt::format("?role={}", to_string(identity.role));
    }
    return text;
}

Result<Identity> parse_identity(std::string_view uri) {
    const Error strange{EINVAL, fmt::format("{} is no identity of drivebay", log::quoted(uri))};
    for (const auto& [kind, text] : kinds) {
        const std::string head = fmt::format("drivebay:{}/", text);
        if (!uri.starts_with(head)) {
            continue;
        }
        Identity identity;
        identity.kind = kind;
        const std::string_view rest = uri.substr(head.size());
        const std::size_t mark = kind == Identity::Kind::operator_ ? rest.find("?role=") : std::string_view::npos;
        identity.name = rest.substr(0, mark);
        if (kind == Identity::Kind::operator_) {
            const auto role = mark == std::string_view::npos ? Result<Role>(strange) : parse_role(rest.substr(mark + 6));
            if (!role) {
                return strange;
            }
            identity.role = *role;
        }
        // A name with a NUL, a newline, a slash or a question mark ends here.
        return check_name("", identity.name) ? Result<Identity>(identity) : Result<Identity>(strange);
    }
    return strange;
}

bool is_of(std::string_view uri, Identity::Kind kind, std::string_view name) {
    const auto identity = parse_identity(uri);
    return identity && identity->kind == kind && identity->name == name;
}

Result<Identity> identity_of(const X509* certificate) {
    int occurrence = 0;
    const GeneralNames names(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &occurrence, nullptr)));
    if (!names) {
        return Error{EINVAL, occurrence == -2 ? "the certificate has its alternative names twice"
                                              : "the certificate has no alternative names, so no identity"};
    }
    std::string uri;
    int uris = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type == GEN_URI) {
            ++uris;
            const ASN1_IA5STRING* const text = name->d.uniformResourceIdentifier;
            uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<std::size_t>(ASN1_STRING_length(text)));
        }
    }
    if (uris != 1) {
        return Error{EINVAL, fmt::format("the certificate has {} URIs; an identity is exactly one", uris)};
    }
    return parse_identity(uri);
}

}  // namespace drivebay::tls
