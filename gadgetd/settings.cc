#include "gadgetd/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <set>

#include "lib/base/names.h"
#include "lib/tls/folder.h"

namespace drivebay::gadgetd {

namespace {

Status check_endpoint(const std::string& text) {
    Result<rpc::Endpoint> endpoint = rpc::parse_endpoint(text);
    return endpoint ? success() : Status(endpoint.error());
}

Status check_absolute(const std::string& path) {
    if (!path.starts_with('/') || (path.size() > 1 && path.ends_with('/'))) {
        return Error{EINVAL, fmt::format("\"{}\" is not an absolute path without a slash at its end", path)};
    }
    return success();
}

Status check_gadget_name(const std::string& name) {
    return check_name("gadget", name);
}

// USB string descriptors hold 126 UTF-16 units.
Status check_usb_text(const std::string& text) {
    if (text.empty() || text.size() > 126) {
        return Error{EINVAL, "a USB text has 1 to 126 characters"};
    }
    return success();
}

Status check_slot_kind(const std::string& kind) {
    return parse_drive_kind(kind)
               ? success()
               : Status(Error{EINVAL, fmt::format("a slot is \"disk\" or \"cdrom\", not \"{}\"", kind)});
}

Status check_policy(const std::string& policy) {
    return policy == "keep" || policy == "detach"
               ? success()
               : Status(Error{EINVAL, fmt::format("a policy is \"keep\" or \"detach\", not \"{}\"", policy)});
}

std::set<int> detaching(const std::vector<std::string>& policies) {
    std::set<int> slots;
    for (std::size_t slot = 0; slot < policies.size(); ++slot) {
        if (policies[slot] == "detach") {
            slots.insert(static_cast<int>(slot));
        }
    }
    return slots;
}

Status check_blade(const std::string& name) {
    return name.empty() ? success() : check_name("blade", name);
}

std::string host_name() {
    char name[HOST_NAME_MAX + 1] = {};
    gethostname(name, HOST_NAME_MAX);
    std::string text = name;
    return text.substr(0, text.find('.'));
}

}  // namespace

void Settings::describe(config::Schema& schema) {
    schema.text("blade", &blade,
                "this blade's name at the arbiter; empty: the name it was enrolled by, else the host's name up to its first dot",
                check_blade);
    schema.text("arbiter", &arbiter, "the arbiter: host, host:port, or the path of its Unix socket", check_endpoint);
    schema.choice("security", &security, {"enrolled", "none"},
                  "enrolled: the arbiter is spoken to in TLS, with the certificate in `identity`; none: in plain, by TCP too");
    schema.text("identity", &identity, "folder of this blade's key and certificate, which `drivebay-gadgetd enroll` makes",
                check_absolute);
    schema.text(
        "mount", &mount,
        "where drivebayfs shows this blade's drives; on the management module itself, <its mount>/blades/<blade>",
        check_absolute);
    schema.text("drivebayfs", &drivebayfs, "the Unix socket of the drivebayfs that serves that mount", check_absolute);
    schema.text("run_dir", &run_dir, "what must outlive a restart of the daemon, not of the machine (a tmpfs)",
                check_absolute);
    schema.texts("slots", &slots, "the drives that the host sees, in this order: \"disk\" or \"cdrom\"", check_slot_kind);
    schema.choice("interfaces", &interfaces, {"slot", "luns", "auto"},
                  "slot: one USB interface a slot; luns: one for all slots; auto: as many as the device chip's endpoints allow");
    schema.text("udc", &udc, "the USB device controller, a name in /sys/class/udc; empty: the first free one");
    schema.text("gadget.name", &gadget_.name, "the gadget's folder in configfs", check_gadget_name);
    schema.text("gadget.root", &gadget_.root, "configfs' folder of gadgets", check_absolute);
    schema.text("gadget.udc_class", &gadget_.udc_class, "sysfs' folder of USB device controllers", check_absolute);
    schema.integer("gadget.vendor_id", &vendor_id_, {1, 0xffff}, "", "USB vendor id");
    schema.integer("gadget.product_id", &product_id_, {0, 0xffff}, "", "USB product id");
    schema.text("gadget.manufacturer", &gadget_.manufacturer, "USB manufacturer", check_usb_text);
    schema.text("gadget.product", &gadget_.product, "USB product", check_usb_text);
    schema.text("gadget.serial", &gadget_.serial, "USB serial number; empty: twelve digits made from the blade's name");
    schema.integer("limits.drain_ms", &drain_ms_, {0, 600000}, "ms",
                   "how long a medium that left may take to be drained before its outcome is told as unknown");
    schema.integer("limits.least_empty_ms", &least_empty_ms_, {0, 60000}, "ms",
                   "how long a slot stays empty between two media, for hosts that poll and miss a media change");
    schema.integer("limits.stuck_ms", &stuck_ms_, {100, 600000}, "ms",
                   "a LUN that answers no sooner than this is reported as offline");
    schema.texts("policy.on_reset", &on_reset,
                 "\"keep\" or \"detach\", a slot each, in the order of `slots`: a reset by the host puts its medium out; none: \"keep\"",
                 check_policy);
    schema.integer("policy.reset_after_s", &reset_after_s_, {0, 604800}, "s",
                   "resets that come sooner than this after the medium was put in are let pass");
    schema.texts("policy.on_idle", &on_idle,
                 "\"keep\" or \"detach\", as on_reset: a host that moves no byte of a medium for idle_after_s has it put out",
                 check_policy);
    schema.integer("policy.idle_after_s", &idle_after_s_, {1, 604800}, "s", "how long that is");
    schema.may_change({"limits.drain_ms", "limits.least_empty_ms", "limits.stuck_ms", "policy.on_reset", "policy.reset_after_s",
                       "policy.on_idle", "policy.idle_after_s"});
}

Status Settings::complete() {
    const auto enrolled = tls::own_certificate(identity);
    if (blade.empty() && enrolled && enrolled->identity.kind == tls::Identity::Kind::blade) {
        blade = enrolled->identity.name;
    }
    if (blade.empty()) {
        blade = host_name();
        if (Status named = check_name("blade", blade); !named) {
            return Error{EINVAL, named.error().message + " (it is the host's name; set `blade`)"};
        }
    }
    if (slots.empty() || slots.size() > static_cast<std::size_t>(most_slots)) {
        return Error{EINVAL, fmt::format("slots: a gadget has 1 to {} slots, not {}", most_slots, slots.size())};
    }
    for (const auto& [key, policies] : {std::pair{"on_reset", &on_reset}, std::pair{"on_idle", &on_idle}}) {
        if (policies->size() > slots.size()) {
            return Error{EINVAL, fmt::format("policy.{} is for {} slots, and there are {}", key, policies->size(), slots.size())};
        }
    }
    if (gadget_.serial.empty()) {
        gadget_.serial = serial_number(blade);
    }
    return success();
}

// Both texts were checked when they were loaded.
rpc::Endpoint Settings::arbiter_endpoint() const {
    return rpc::parse_endpoint(arbiter).value();
}
rpc::Endpoint Settings::drivebayfs_endpoint() const {
    return rpc::Endpoint{drivebayfs, "", 0};
}

rpc::Secure Settings::secure() const {
    return security == "none" ? rpc::Secure()
                              : tls::secure_by(identity, "enroll this blade with: drivebay-gadgetd enroll --arbiter HOST --token TOKEN");
}

GadgetShape Settings::shape() const {
    GadgetShape shape = gadget_;
    shape.udc = udc;
    shape.vendor_id = static_cast<std::uint16_t>(vendor_id_);
    shape.product_id = static_cast<std::uint16_t>(product_id_);
    shape.interfaces = interfaces == "luns"   ? Interfaces::luns
                       : interfaces == "auto" ? Interfaces::automatic
                                              : Interfaces::slot;
    for (const std::string& kind : slots) {
        shape.slots.push_back(*parse_drive_kind(kind));
    }
    return shape;
}

PlannerLimits Settings::limits() const {
    PlannerLimits limits;
    limits.drain = std::chrono::milliseconds(drain_ms_);
    limits.drain_unreachable = std::min(limits.drain_unreachable, limits.drain);
    limits.least_empty = std::chrono::milliseconds(least_empty_ms_);
    limits.stuck = std::chrono::milliseconds(stuck_ms_);
    limits.detach_on_reset = detaching(on_reset);
    limits.reset_after = std::chrono::seconds(reset_after_s_);
    limits.detach_on_idle = detaching(on_idle);
    limits.idle_after = std::chrono::seconds(idle_after_s_);
    return limits;
}

std::string serial_number(const std::string& text) {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (unsigned char byte : text) {
        hash = (hash ^ byte) * 0x100000001b3;
    }
    return fmt::format("{:012X}", hash >> 16);
}

}  // namespace drivebay::gadgetd
