#include "gadgetd/controllers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <vector>

#include "gadgetd/attribute.h"
#include "gadgetd/gadget_layout.h"

namespace drivebay::gadgetd {

namespace {

namespace fs = std::filesystem;

// UDC → the gadget that has it.
std::map<std::string, std::string> taken_controllers(const std::string& gadget_root) {
    std::map<std::string, std::string> taken;
    std::error_code ignored;
    for (const auto& gadget : fs::directory_iterator(gadget_root, ignored)) {
        Result<std::string> udc = read_attribute(gadget.path().string() + "/UDC");
        if (udc && !udc->empty()) {
            taken.emplace(*udc, gadget.path().filename());
        }
    }
    return taken;
}

}  // namespace

Result<std::vector<std::string>> free_controllers(const std::string& gadget_root, const std::string& udc_class,
                                                  const std::string& wanted) {
    std::vector<std::string> candidates;
    std::error_code ignored;
    for (const auto& udc : fs::directory_iterator(udc_class, ignored)) {
        candidates.push_back(udc.path().filename());
    }
    std::sort(candidates.begin(), candidates.end());
    if (candidates.empty()) {
        return Error{ENODEV, fmt::format("this machine has no USB device controller: {} is empty (is the controller's "
                                         "driver loaded?)",
                                         udc_class)};
    }
    if (!wanted.empty()) {
        if (std::find(candidates.begin(), candidates.end(), wanted) == candidates.end()) {
            return Error{ENODEV, fmt::format("there is no USB device controller {}; there is: {}", wanted,
                                             fmt::join(candidates, ", "))};
        }
        candidates = {wanted};
    }
    std::map<std::string, std::string> taken = taken_controllers(gadget_root);
    std::vector<std::string> reasons;
    std::erase_if(candidates, [&](const std::string& udc) {
        if (auto owner = taken.find(udc); owner != taken.end()) {
            reasons.push_back(fmt::format("{} belongs to the gadget {}", udc, owner->second));
            return true;
        }
        // The driver that has it, where that is no configfs gadget (drivers/usb/gadget/udc/core.c, function_show()).
        Result<std::string> driver = read_attribute(udc_class + "/" + udc + "/function");
        if (driver && !driver->empty()) {
            reasons.push_back(fmt::format("{} belongs to the driver {}", udc, *driver));
        }
        return driver && !driver->empty();
    });
    if (candidates.empty()) {
        return Error{EBUSY, fmt::format("no USB device controller is free ({})", fmt::join(reasons, "; "))};
    }
    return candidates;
}

int most_interfaces(const std::string& udc) {
    constexpr int fixed_bulk_pairs = 4;
    return udc.starts_with("dummy_udc.") ? fixed_bulk_pairs : most_slots;
}

ControllerState read_controller(const std::string& gadget_folder, const std::string& udc_class) {
    Result<std::string> udc = read_attribute(gadget_folder + "/UDC");
    if (!udc || udc->empty()) {
        return {"not bound", ""};
    }
    Result<std::string> state = read_attribute(udc_class + "/" + *udc + "/state");
    Result<std::string> speed = read_attribute(udc_class + "/" + *udc + "/current_speed");
    return {state ? *state : "unknown", speed ? *speed : ""};
}

}  // namespace drivebay::gadgetd
