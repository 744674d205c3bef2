#include "fusefs/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "lib/base/log.h"
#include "lib/base/names.h"
#include "lib/tls/folder.h"

namespace drivebay {

namespace {

Status check_absolute(const std::string& path) {
    if (path.empty() || path.front() != '/') {
        return Error{EINVAL, fmt::format("{} is no absolute path; begin it with /", log::quoted(path))};
    }
    return success();
}

Status check_absolute_or_empty(const std::string& path) {
    return path.empty() ? success() : check_absolute(path);
}

Status check_listener(const std::string& text) {
    const auto endpoint = rpc::parse_endpoint(text, default_nbd_port);
    return endpoint ? success() : Status(endpoint.error());
}

Status check_address(const std::string& text) {
    return text.empty() ? success() : check_listener(text);
}

Status check_blade(const std::string& name) {
    return name.empty() ? success() : check_name("blade", name);
}

Status check_drive(const std::string& name) { return check_name("drive", name); }

Status check_limit(const std::string& text) {
    const auto limit = parse_rate_limit(text);
    return limit ? success() : Status(limit.error());
}

// Options that mount(8) and fstab(5) know and that are theirs to act upon, or that change nothing for files which are
// never executed, never cached and have no devices.
constexpr std::array generic_options = {
    "rw",       "defaults",   "auto",     "noauto",     "user",     "nouser",     "users",       "owner",
    "group",    "exec",       "noexec",   "suid",       "nosuid",   "dev",        "nodev",       "sync",
    "async",    "dirsync",    "atime",    "noatime",    "relatime", "norelatime", "strictatime", "nostrictatime",
    "diratime", "nodiratime", "lazytime", "nolazytime", "_netdev",  "nofail",     "silent",      "loud"};

bool is_generic(std::string_view option) {
    return std::find(generic_options.begin(), generic_options.end(), option) != generic_options.end() ||
           option.starts_with("x-") || option.starts_with("X-") || option.starts_with("comment=") ||
           option.starts_with("user=");
}

Status take_option(std::string_view option, MountRequest& mount) {
    const auto value_of = [&](std::string_view key, std::string& into) {
        if (!option.starts_with(key)) {
            return false;
        }
        into = option.substr(key.size());
        return true;
    };
    if (option == "ro") {
        mount.read_only = true;
    } else if (option == "allow_other") {
        mount.allow_other = true;
    } else if (!option.empty() && !is_generic(option) && !value_of("config=", mount.config) &&
               !value_of("role=", mount.role) && !value_of("blade=", mount.blade)) {
        return Error{EINVAL,
                     fmt::format("unknown mount option {}: drivebayfs knows config=PATH, role=management|blade, "
                                 "blade=NAME, allow_other, ro, and mount's own",
                                 log::quoted(option))};
    }
    return success();
}

}  // namespace

config::Schema FusefsSettings::schema() {
    config::Schema schema("drivebayfs");
    schema.choice("role", &role, {"management", "blade"},
                  "management: serves the drives of this machine; blade: mounts what a management module presents");
    schema.choice("security", &security, {"enrolled", "none"},
                  "enrolled: NBD by TCP is TLS, and a blade's certificate is its right to its own drives and no others; none: "
                  "whoever reaches an address may name himself any blade, for laboratories");
    schema.text("state_dir", &state_dir, "folder of the durable table of admissions (management)", check_absolute);
    schema.text("socket", &socket, "Unix socket on which gadgetd asks for a drain, and anyone for the status",
                check_absolute);
    schema.integer("pause_limit_ms", &pause_limit_ms, {100, 600000}, "ms",
                   "how long a blade's file may keep its user waiting for the management module before I/O errors; "
                   "a host resets the whole USB device at 10 s");
    schema.text("arbiter", &arbiter, "Unix socket of the arbiter (management)", check_absolute);
    schema.texts(
        "nbd.listen", &nbd_listen,
        "TCP addresses, \"host:port\", on which blades reach their drives (management)", check_listener);
    schema.text("pki", &pki,
                "folder of the arbiter's authority and this server's certificate, which `drivebay pki init` makes (management)",
                check_absolute);
    schema.text("nbd.unix", &nbd_unix, "Unix socket with the same exports; empty for none (management)",
                check_absolute_or_empty);
    schema.integer("nbd.connections", &nbd_connections, {1, 65536}, "", "at most so many NBD connections (management)");
    schema.text("nbd.tls.certificate", &tls_certificate,
                "PEM file with this server's certificate, and behind it what leads to its authority; empty for no TLS "
                "(management)",
                check_absolute_or_empty);
    schema.text("nbd.tls.key", &tls_key, "PEM file with the certificate's private key (management)",
                check_absolute_or_empty);
    schema.text("nbd.tls.client_ca", &tls_client_ca,
                "PEM file with the authority that signed the clients' certificates; empty: a client needs none "
                "(management)",
                check_absolute_or_empty);
    schema.boolean("nbd.tls.required", &tls_required,
                   "with a certificate: TCP clients without TLS get nothing; on the Unix socket it is only offered "
                   "(management)");
    schema.boolean(
        "trust_reconnect", &trust_reconnect,
        "repeat unanswered writes to a remote drive's server after a lost connection, instead of failing the "
        "drive: only where that server completes the I/O of a lost connection before it takes another "
        "(management)");
    schema.texts(
        "drives.page_cache", &page_cache,
        "names of local drives whose data go through the page cache; by themselves read-only files and optical drives "
        "do (management)",
        check_drive);
    schema.texts("drives.direct", &direct,
                 "names of local drives whose data go past the page cache; by themselves all others do (management)",
                 check_drive);
    schema.integer("drives.queue_depth", &queue_depth, {1, 256}, "",
                   "requests at one drive at a time; what is more waits, and its blades take turns (management)");
    schema.texts("drives.roots", &roots,
                 "folders that a drive's file must be below, with nothing on the way leading out of them; none: it may be "
                 "anywhere (management)",
                 check_absolute);
    schema.texts("drives.limits", &limits,
                 "\"BLADE/DRIVE NUMBER\": at most so many bytes a second, with K, M or G; * for each; the first that fits "
                 "counts (management)",
                 check_limit);
    schema.text("blade", &blade, "this blade's name; empty: the one it was enrolled by (blade)", check_blade);
    schema.text(
        "management", &management,
        "the management module's NBD address, \"host\" or \"host:port\"; the mount's source goes before (blade)",
        check_address);
    schema.text("certificates", &certificates,
                "folder with ca-cert.pem, the authority of the management module's certificate, and client-cert.pem and "
                "client-key.pem; empty: /var/lib/drivebay/identity, or no TLS with security = \"none\" (blade)",
                check_absolute_or_empty);
    return schema;
}

std::string FusefsSettings::certificates_in_use() const {
    return !certificates.empty() || security == "none" ? certificates : "/var/lib/drivebay/identity";
}

Status FusefsSettings::check() {
    if (is_blade() && blade.empty() && security != "none") {
        const auto own = tls::own_certificate(certificates_in_use());
        blade = own && own->identity.kind == tls::Identity::Kind::blade ? own->identity.name : "";
    }
    if (is_blade() && blade.empty()) {
        return Error{EINVAL,
                     "role is \"blade\", but no name is given: set blade = \"NAME\" to the name that the management "
                     "module knows this blade by (drivebay blade add NAME)"};
    }
    if (tls_certificate.empty() != tls_key.empty() || (tls_certificate.empty() && !tls_client_ca.empty())) {
        return Error{EINVAL, "nbd.tls needs both certificate and key: one of them is not set"};
    }
    if (!tls_certificate.empty() && security != "none") {
        return Error{EINVAL,
                     "nbd.tls is for security = \"none\": with \"enrolled\" the certificate is the arbiter's (drivebay pki init)"};
    }
    for (const std::string& drive : direct) {
        if (std::find(page_cache.begin(), page_cache.end(), drive) != page_cache.end()) {
            return Error{EINVAL, fmt::format("the drive {} is in drives.page_cache and in drives.direct: take it out of one",
                                             log::quoted(drive))};
        }
    }
    return is_blade() ? check_name("blade", blade) : success();
}

DrivePolicies FusefsSettings::drive_policies() const {
    DrivePolicies policies;
    for (const std::string& drive : page_cache) {
        policies.cache[drive] = CachePolicy::page_cache;
    }
    for (const std::string& drive : direct) {
        policies.cache[drive] = CachePolicy::direct;
    }
    policies.queue_depth = static_cast<std::size_t>(queue_depth);
    for (const std::string& text : limits) {
        policies.limits.push_back(*parse_rate_limit(text));
    }
    policies.roots = roots;
    return policies;
}

Result<MountRequest> take_mount_options(std::vector<std::string>& arguments) {
    MountRequest mount;
    for (std::size_t i = 1; i < arguments.size();) {
        if (!arguments[i].starts_with("-o")) {
            ++i;
            continue;
        }
        const bool apart = arguments[i] == "-o";
        if (apart && i + 1 == arguments.size()) {
            return Error{EINVAL, "-o needs options behind it"};
        }
        const std::string list = apart ? arguments[i + 1] : arguments[i].substr(2);
        const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
        arguments.erase(first, first + (apart ? 2 : 1));
        for (std::size_t begin = 0; begin <= list.size();) {
            const std::size_t end = std::min(list.find(',', begin), list.size());
            if (Status known = take_option(std::string_view(list).substr(begin, end - begin), mount); !known) {
                return known.error();
            }
            begin = end + 1;
        }
    }
    return mount;
}

Result<rpc::Endpoint> management_endpoint(const FusefsSettings& settings, const MountRequest& mount) {
    const bool only_a_word = mount.source == "drivebay";
    const std::string& address = only_a_word ? settings.management : mount.source;
    if (address.empty()) {
        return Error{EINVAL,
                     "which management module? Name its address as the mount's source, or set "
                     "management = \"HOST[:PORT]\" in the configuration"};
    }
    return rpc::parse_endpoint(address, default_nbd_port);
}

}  // namespace drivebay
