// USB device controllers (UDCs): which there are, which are taken, and how one stands with its host.
#pragma once

#include <string>

#include "gadgetd/gadget_hands.h"
#include "lib/base/result.h"

namespace drivebay::gadgetd {

// Binds the gadget in `gadget_folder` to `wanted`, or to the first free UDC of `udc_class` where `wanted` is empty, and
// returns its name. `gadget_root` holds all gadgets: theirs are taken. A UDC may also be taken by a driver that is no
// configfs gadget; then the kernel says so and the next one is tried.
// The binding itself is asked of `hands`.
Result<std::string> bind_controller(const std::string& gadget_root, const std::string& udc_class,
                                    const std::string& gadget_folder, const std::string& wanted,
                                    const GadgetHands& hands);

struct ControllerState {
    std::string state;  // "configured", "not attached", …; "not bound" where the gadget has no UDC any more
    std::string speed;  // "super-speed", "UNKNOWN", …; empty where not bound
    bool operator==(const ControllerState&) const = default;
};

// On dummy_hcd a UDC's state stays "configured" after an unbind, so the gadget's own UDC attribute comes first. May
// block while somebody binds or unbinds.
ControllerState read_controller(const std::string& gadget_folder, const std::string& udc_class);

}  // namespace drivebay::gadgetd
