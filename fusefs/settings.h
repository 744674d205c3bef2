// What an operator may set for drivebayfs: its configuration file, and what mount(8) hands over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fusefs/engine/drive_policies.h"
#include "lib/base/result.h"
#include "lib/config/schema.h"
#include "lib/rpc/endpoint.h"

namespace drivebay {

inline constexpr std::uint16_t default_nbd_port = 10809;  // IANA's

struct FusefsSettings {
    std::string role = "management";
    std::string security = "enrolled";
    std::string state_dir = "/var/lib/drivebay/fusefs";
    std::string socket = "/run/drivebay/fusefs.sock";
    std::int64_t pause_limit_ms = 8000;
    // management
    std::string arbiter = "/run/drivebay/arbiter.sock";
    std::vector<std::string> nbd_listen = {"127.0.0.1:10809"};
    std::string nbd_unix;
    std::int64_t nbd_connections = 1024;
    std::string pki = "/var/lib/drivebay/arbiter/pki";
    bool trust_reconnect = false;
    std::vector<std::string> page_cache;  // drives
    std::vector<std::string> direct;      // drives
    std::int64_t queue_depth = 128;
    std::vector<std::string> limits;
    std::vector<std::string> roots;
    std::string tls_certificate;
    std::string tls_key;
    std::string tls_client_ca;
    bool tls_required = true;
    // blade
    std::string blade;
    std::string management;
    std::string certificates;

    config::Schema schema();
    bool is_blade() const { return role == "blade"; }
    // `certificates`, or where they are by themselves.
    std::string certificates_in_use() const;
    // What one key alone cannot show. Fills in the blade's name from its certificate.
    Status check();
    // Of what check() has passed.
    DrivePolicies drive_policies() const;
};

// `drivebayfs SOURCE MOUNTPOINT [-o OPTION[,OPTION…]]`, as mount(8) calls it for an fstab line of type fuse.drivebayfs.
struct MountRequest {
    std::string source;  // "drivebay", or on a blade the management module's address
    std::string mount_point;
    std::string config;  // config=PATH; empty: not given
    std::string role;    // role=, likewise
    std::string blade;   // blade=, likewise
    bool allow_other = false;
    bool read_only = false;
};

// Takes `-o …` out of `arguments` (the program's own name first) and leaves the rest. EINVAL names an option that means
// nothing here; those of mount(8) itself (nofail, _netdev, defaults, noatime, …) are let pass.
Result<MountRequest> take_mount_options(std::vector<std::string>& arguments);

// Where a blade finds the management module's exports: `source` as mounted, or the configuration's where it is only
// a word ("drivebay").
Result<rpc::Endpoint> management_endpoint(const FusefsSettings& settings, const MountRequest& mount);

}  // namespace drivebay
