// USB device controllers (UDCs): which there are, which are taken, and how one stands with its host.
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::gadgetd {

// The controllers that can be bound to: `wanted`, or all of `udc_class` where it is empty, in the order of their names,
// less those that are taken, by a gadget in `gadget_root` or by another driver. ENODEV: there is no such controller, or
// none at all. EBUSY: all are taken; the sentence says by whom.
Result<std::vector<std::string>> free_controllers(const std::string& gadget_root, const std::string& udc_class,
                                                  const std::string& wanted);

// How many mass-storage functions a controller has distinct endpoints for, where it binds more than a host can use: dummy_hcd
// numbers those after its four fixed bulk pairs from 1 again, and a host skips an interface with a duplicate endpoint address
// (drivers/usb/gadget/udc/dummy_hcd.c, ep_info[]; epautoconf.c). Else most_slots: a controller refuses what it has no
// endpoints for.
int most_interfaces(const std::string& udc);

struct ControllerState {
    std::string state;  // "configured", "not attached", …; "not bound" where the gadget has no UDC any more
    std::string speed;  // "super-speed", "UNKNOWN", …; empty where not bound
    bool operator==(const ControllerState&) const = default;
};

// On dummy_hcd a UDC's state stays "configured" after an unbind, so the gadget's own UDC attribute comes first. May
// block while somebody binds or unbinds.
ControllerState read_controller(const std::string& gadget_folder, const std::string& udc_class);

}  // namespace drivebay::gadgetd
