// drivebay-arbiterd's configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arbiter/core/lease_table.h"
#include "lib/config/schema.h"

namespace drivebay::arbiter {

struct Settings {
    std::string socket = "/run/drivebay/arbiter.sock";
    std::vector<std::string> listen = {"127.0.0.1:4740"};
    std::string security = "enrolled";
    std::vector<std::string> allow;
    std::string state_dir = "/var/lib/drivebay/arbiter";
    std::string audit_log = "/var/log/drivebay/audit.log";
    std::int64_t ttl_ms = 10000;
    std::int64_t withdraw_deadline_ms = 10000;
    std::int64_t take_deadline_ms = 30000;

    // The schema refers to this object, which must outlive it.
    config::Schema schema();
    Timing timing() const;
    bool is_enrolled() const { return security == "enrolled"; }
};

}  // namespace drivebay::arbiter
