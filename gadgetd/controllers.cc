#include "gadgetd/controllers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <vector>

#include "gadgetd/attribute.h"

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

Result<std::string> bind_controller(const std::string& gadget_root, const std::string& udc_class,
                                    const std::string& gadget_folder, const std::string& wanted,
                                    const GadgetHands& hands) {
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
    for (const std::string& udc : candidates) {
        if (auto owner = taken.find(udc); owner != taken.end()) {
            reasons.push_back(fmt::format("{} belongs to the gadget {}", udc, owner->second));
            continue;
        }
        Status bound = hands({GadgetStep::Kind::bind, gadget_folder + "/UDC", udc});
        if (bound) {
            return udc;
        }
        reasons.push_back(fmt::format("{}: {}", udc, bound.error().message));
    }
    return Error{EBUSY, fmt::format("no USB device controller could be taken ({})", fmt::join(reasons, "; "))};
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
