// The gadget in configfs: made once, bound once, and from then on left as it is, because touching the topology of a
// bound gadget throws the whole device off the host's bus (drivers/usb/gadget/configfs.c;
// Documentation/usb/gadget_configfs.rst). Blocking; used at the start and the end of the program only.
#pragma once

#include <string>
#include <vector>

#include "gadgetd/gadget_hands.h"
#include "gadgetd/gadget_layout.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay::gadgetd {

struct GadgetShape {
    std::string root = "/sys/kernel/config/usb_gadget";
    std::string udc_class = "/sys/class/udc";
    std::string name = "drivebay";
    std::string udc;  // empty: the first free one
    std::uint16_t vendor_id = 0x1d6b;
    std::uint16_t product_id = 0x0104;
    std::string manufacturer = "drivebay";
    std::string product = "drivebay";
    std::string serial;
    std::vector<DriveKind> slots;
    Interfaces interfaces = Interfaces::slot;
};

// The gadget as it stands now.
struct GadgetTree {
    std::string folder;
    std::string udc;                   // the controller that it is bound to
    std::vector<DriveKind> slots;      // of the bound gadget, which may be an older configuration's
    Layout layout;                     // what they stand behind
    std::vector<int> emptied;          // slots whose medium of an earlier run had to go; not their host's doing
    std::vector<std::string> notices;  // for the log: what is not as configured, and what to do about it
    bool adopted = false;              // was bound before

    std::string lun_folder(int slot) const;
};

// Adopts a bound gadget of that name whose functions are all ours, as it stands, whatever its layout; completes an
// unbound one, makes a missing one, and binds it to the first controller that takes it. EEXIST: a gadget of that name
// has functions that are not ours; it was left alone. ENODEV: there is no such UDC, or none at all. EBUSY: every UDC is
// taken, or takes no gadget with so many interfaces. With Interfaces::automatic a controller that refuses is offered
// one interface less, down to one. `hands` are asked for every change, in its order; with hands that only note, nothing
// changes.
Result<GadgetTree> raise_gadget(const GadgetShape& shape, const GadgetHands& hands = carry_out);

// Unbinds and removes the gadget, media or not: the host loses the whole device. EEXIST as above. A gadget that is not
// there is a success.
Status remove_gadget(const GadgetShape& shape, const GadgetHands& hands = carry_out);

}  // namespace drivebay::gadgetd
