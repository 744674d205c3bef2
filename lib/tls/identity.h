// Who a certificate is for: the one URI among its subject alternative names.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/result.h"
#include "lib/tls/openssl.h"

namespace drivebay::tls {

// What an operator may do; each includes those before it.
enum class Role { view, operate, admin };

struct Identity {
    enum class Kind { blade, operator_, module };
    Kind kind = Kind::blade;
    std::string name;
    Role role = Role::view;  // of an operator

    bool operator==(const Identity&) const = default;
};

// `drivebay:blade/NAME`, `drivebay:operator/NAME?role=view|operate|admin`, `drivebay:module/NAME`.
std::string to_string(const Identity& identity);
// Only what to_string() can have made: there is one spelling of each.
Result<Identity> parse_identity(std::string_view uri);

std::string_view to_string(Role role);
Result<Role> parse_role(std::string_view text);

// Whether that identity is of a name, an operator's in whatever role.
bool is_of(std::string_view uri, Identity::Kind kind, std::string_view name);

// EINVAL unless there is exactly one URI, and it is an identity. Whether the certificate is to be believed was asked before.
Result<Identity> identity_of(const X509* certificate);

}  // namespace drivebay::tls
