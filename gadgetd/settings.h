// What gadgetd.cfg may say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gadgetd/gadget_planner.h"
#include "gadgetd/gadget_tree.h"
#include "lib/base/result.h"
#include "lib/config/schema.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/client.h"

namespace drivebay::gadgetd {

struct Settings {
    // Registers every key; the settings must outlive the schema.
    void describe(config::Schema& schema);
    // What one key alone cannot tell. Fills in what was left empty: blade, serial.
    Status complete();

    rpc::Endpoint arbiter_endpoint() const;
    rpc::Endpoint drivebayfs_endpoint() const;
    // How the arbiter is spoken to by TCP.
    rpc::Secure secure() const;
    GadgetShape shape() const;
    PlannerLimits limits() const;

    std::string blade;
    std::string arbiter = "127.0.0.1:4740";
    std::string security = "enrolled";
    std::string identity = "/var/lib/drivebay/identity";
    std::string mount = "/srv/drivebay";
    std::string drivebayfs = "/run/drivebay/fusefs.sock";
    std::string run_dir = "/run/drivebay/gadgetd";
    std::vector<std::string> slots = {"cdrom", "disk", "disk", "disk"};
    std::string interfaces = "slot";
    std::string udc;
    // "keep" or "detach", a slot each; shorter than `slots`: the others keep.
    std::vector<std::string> on_reset;
    std::vector<std::string> on_idle;

private:
    GadgetShape gadget_;
    std::int64_t vendor_id_ = 0x1d6b;
    std::int64_t product_id_ = 0x0104;
    std::int64_t drain_ms_ = 20000;
    std::int64_t least_empty_ms_ = 0;
    std::int64_t stuck_ms_ = 10000;
    std::int64_t reset_after_s_ = 300;
    std::int64_t idle_after_s_ = 3600;
};

// Twelve digits that are the same for the same text: USB mass storage wants a serial number of at least twelve of 0-9,
// A-F (USB Mass Storage Class, Bulk-Only Transport 1.0, 4.1.1).
std::string serial_number(const std::string& text);

}  // namespace drivebay::gadgetd
