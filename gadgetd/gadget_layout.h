// Which LUN of which mass-storage function a slot is. A function is one USB interface with a bulk endpoint each way,
// and its LUNs wait for each other; a device chip has few endpoints. A function is named for its first slot, and its
// LUNs are that slot and the ones after it: so slot N+K is always lun.K of mass_storage.slotN, in whatever layout.
#pragma once

#include <string>
#include <vector>

namespace drivebay::gadgetd {

// f_mass_storage's limit of LUNs a function (FSG_MAX_LUNS, drivers/usb/gadget/function/storage_common.h), and of
// interfaces a configuration (MAX_CONFIG_INTERFACES, include/linux/usb/composite.h).
inline constexpr int most_slots = 16;

enum class Interfaces {
    slot,       // one a slot
    luns,       // one for all
    automatic,  // as many as the device chip's endpoints allow
};

// How many slots stand behind each function, in their order: as even as can be, so that as few as possible wait for
// each other, and the first slots alone rather than the last.
using Layout = std::vector<int>;
Layout share(int slots, int functions);

// "mass_storage.slot4".
std::string function_name(int first_slot);
// The other way round; -1: no function of drivebay's.
int first_slot_of(const std::string& function);

// The first slot of the function that `slot` stands behind.
int function_of(const Layout& layout, int slot);
// "6 and 7; 8, 9 and 10": the slots that share an interface; empty: none does.
std::string sharing(const Layout& layout);
// "6, 7": those that share the interface of `slot`, itself left out.
std::string siblings(const Layout& layout, int slot);

}  // namespace drivebay::gadgetd
