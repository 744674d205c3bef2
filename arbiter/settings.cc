#include "arbiter/settings.h"

#include <fmt/format.h>

#include <cerrno>

#include "arbiter/api/allowances.h"
#include "lib/rpc/endpoint.h"

namespace drivebay::arbiter {
namespace {

Status check_absolute(const std::string& path) {
    if (path.empty() || path.front() != '/') {
        return Error{EINVAL, fmt::format("\"{}\" is no absolute path; begin it with /", path)};
    }
    return success();
}

Status check_listener(const std::string& text) {
    const auto endpoint = rpc::parse_endpoint(text);
    return endpoint ? success() : Status(endpoint.error());
}

}  // namespace

config::Schema Settings::schema() {
    config::Schema schema("drivebay-arbiterd");
    schema.text("socket", &socket, "Unix socket for local operators and the local drivebayfs", check_absolute);
    schema.texts(
        "listen", &listen,
        "TCP addresses for blades and remote operators, \"host:port\"", check_listener);
    schema.choice("security", &security, {"enrolled", "none"},
                  "enrolled: TLS on every TCP address, for those alone who have a certificate of this module; none: whoever "
                  "reaches an address is believed, for laboratories");
    schema.texts("allow", &allow,
                 "which blades may have which drives at all, whoever presents them: \"BLADE/DRIVE read\" or \"BLADE/DRIVE "
                 "write\", * for any; none: all",
                 Allowances::check);
    schema.text("state_dir", &state_dir, "folder of the store", check_absolute);
    schema.text("audit_log", &audit_log, "append-only log of every grant, wait, handover, fence and loss, JSON lines",
                check_absolute);
    schema.integer("lease.ttl_ms", &ttl_ms, {1000, 600000}, "ms",
                   "how long a blade's session lives without a renewal; only then can a waiter take what it holds");
    schema.integer("lease.withdraw_deadline_ms", &withdraw_deadline_ms, {0, 3600000}, "ms",
                   "how long a withdrawal waits for a host that has locked the door");
    schema.integer("lease.take_deadline_ms", &take_deadline_ms, {0, 3600000}, "ms", "the same, for present --take");
    schema.may_change({"allow", "lease.ttl_ms", "lease.withdraw_deadline_ms", "lease.take_deadline_ms"});
    return schema;
}

Timing Settings::timing() const {
    Timing timing;
    timing.ttl = std::chrono::milliseconds(ttl_ms);
    timing.withdraw_deadline = std::chrono::milliseconds(withdraw_deadline_ms);
    timing.take_deadline = std::chrono::milliseconds(take_deadline_ms);
    return timing;
}

}  // namespace drivebay::arbiter
