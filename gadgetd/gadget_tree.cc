#include "gadgetd/gadget_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "gadgetd/attribute.h"
#include "gadgetd/controllers.h"

namespace drivebay::gadgetd {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view function_prefix = "mass_storage.slot";
constexpr const char* config_folder = "configs/c.1";
constexpr const char* english = "strings/0x409";

std::string function_name(int slot) {
    return fmt::format("{}{}", function_prefix, slot);
}

Status make_folder(const std::string& path) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
        return system_error(errno, "cannot make " + path);
    }
    return success();
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
}

// The slot that a function of ours stands for; -1: it is not ours.
int slot_of(const std::string& function) {
    for (int slot = 0; slot < 16; ++slot) {
        if (function == function_name(slot)) {
            return slot;
        }
    }
    return -1;
}

std::string value_of(const std::string& path) {
    Result<std::string> value = read_attribute(path);
    return value ? *value : std::string();
}

Status check_ours(const std::string& folder) {
    for (const std::string& function : names_in(folder + "/functions")) {
        if (slot_of(function) < 0) {
            return Error{EEXIST,
                         fmt::format("{} is not drivebay's gadget: it has the function {}. It was left as it is; "
                                     "set another gadget.name, or remove that gadget",
                                     folder, function)};
        }
    }
    for (const std::string& config : names_in(folder + "/configs")) {
        if (config != "c.1") {
            return Error{EEXIST,
                         fmt::format("{} is not drivebay's gadget: it has the configuration {}. It was left as it "
                                     "is; set another gadget.name, or remove that gadget",
                                     folder, config)};
        }
    }
    return success();
}

// Links of the configuration in the order of `names`: it is the order of the interfaces that the host sees.
Status unlink_functions(const std::string& folder) {
    std::string config = folder + "/" + config_folder;
    for (const std::string& name : names_in(config)) {
        std::string link = config + "/" + name;
        if (fs::is_symlink(link) && unlink(link.c_str()) != 0) {
            return system_error(errno, "cannot remove the link " + link);
        }
    }
    return success();
}

Status remove_function(const std::string& folder) {
    std::error_code ignored;
    for (const std::string& name : names_in(folder)) {
        if (name.starts_with("lun.") && name != "lun.0" && rmdir((folder + "/" + name).c_str()) != 0) {
            return system_error(errno, "cannot remove " + folder + "/" + name);
        }
    }
    if (rmdir(folder.c_str()) != 0) {
        return system_error(errno, "cannot remove " + folder);
    }
    return success();
}

Status make_slot(const std::string& folder, int slot, DriveKind kind) {
    std::string function = folder + "/functions/" + function_name(slot);
    std::string lun = function + "/lun.0";
    for (const std::string& path : {function, lun}) {
        if (Status made = make_folder(path); !made) {
            return made;
        }
    }
    const std::string flag = kind == DriveKind::cdrom ? "1" : "0";
    if (!value_of(lun + "/file").empty()) {
        if (value_of(lun + "/cdrom") == flag) {
            return success();  // a medium of an earlier run: the planner decides about it
        }
        if (Status emptied = write_attribute(lun + "/forced_eject", "1"); !emptied) {
            return emptied;
        }
    }
    for (auto [name, value] : {std::pair<const char*, std::string>{"removable", "1"}, {"cdrom", flag}, {"ro", flag}}) {
        if (Status written = write_attribute(lun + "/" + name, value); !written) {
            return written;
        }
    }
    return success();
}

Status make_tree(const GadgetShape& shape, const std::string& folder) {
    const std::string config = folder + "/" + config_folder;
    // The parents are there by themselves in configfs.
    for (const std::string& path : {folder, folder + "/strings", folder + "/" + english, folder + "/functions",
                                    folder + "/configs", config, config + "/strings", config + "/" + english}) {
        if (Status made = make_folder(path); !made) {
            return made;
        }
    }
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {"idVendor", fmt::format("{:#06x}", shape.vendor_id)},
             {"idProduct", fmt::format("{:#06x}", shape.product_id)},
             {"bcdDevice", "0x0100"},
             {std::string(english) + "/manufacturer", shape.manufacturer},
             {std::string(english) + "/product", shape.product},
             {std::string(english) + "/serialnumber", shape.serial},
             {std::string(config_folder) + "/" + english + "/configuration", "drives"}}) {
        if (Status written = write_attribute(folder + "/" + name, value); !written) {
            return written;
        }
    }
    if (Status unlinked = unlink_functions(folder); !unlinked) {
        return unlinked;
    }
    int count = static_cast<int>(shape.slots.size());
    for (const std::string& function : names_in(folder + "/functions")) {
        if (slot_of(function) >= count) {
            if (Status removed = remove_function(folder + "/functions/" + function); !removed) {
                return removed;
            }
        }
    }
    for (int slot = 0; slot < count; ++slot) {
        if (Status made = make_slot(folder, slot, shape.slots[static_cast<std::size_t>(slot)]); !made) {
            return made;
        }
        std::string function = folder + "/functions/" + function_name(slot);
        std::string link = config + "/" + function_name(slot);
        if (symlink(function.c_str(), link.c_str()) != 0) {
            return system_error(errno, "cannot link " + function);
        }
    }
    return success();
}

// What a bound gadget is made of, read back.
Result<GadgetTree> adopt(const GadgetShape& shape, const std::string& folder, const std::string& udc) {
    GadgetTree tree{folder, udc, {}, {}, true};
    std::vector<std::string> linked = names_in(folder + "/" + config_folder);
    for (int slot = 0; std::find(linked.begin(), linked.end(), function_name(slot)) != linked.end(); ++slot) {
        Result<std::string> cdrom = read_attribute(tree.lun_folder(slot) + "/cdrom");
        if (!cdrom) {
            return cdrom.error();
        }
        tree.slots.push_back(*cdrom == "1" ? DriveKind::cdrom : DriveKind::disk);
    }
    if (tree.slots.empty()) {
        return Error{EEXIST,
                     fmt::format("{} is bound to {} and has no slot of drivebay's. It was left as it is; set another "
                                 "gadget.name, or remove that gadget",
                                 folder, udc)};
    }
    const char* remedy =
        "to change it: stop drivebay-gadgetd, run drivebay-gadgetd --remove (the host loses its drives), "
        "and start it again";
    if (tree.slots != shape.slots) {
        tree.notices.push_back(
            fmt::format("the bound gadget has other slots than configured and keeps them; {}", remedy));
    }
    if (!shape.udc.empty() && shape.udc != udc) {
        tree.notices.push_back(
            fmt::format("the gadget is bound to {}, not to {}, and stays there; {}", udc, shape.udc, remedy));
    }
    return tree;
}

}  // namespace

std::string GadgetTree::lun_folder(int slot) const {
    return fmt::format("{}/functions/{}/lun.0", folder, function_name(slot));
}

Result<GadgetTree> raise_gadget(const GadgetShape& shape) {
    if (!fs::is_directory(shape.root)) {
        return Error{ENOENT,
                     fmt::format("{} is no folder: mount configfs and load libcomposite (try: modprobe libcomposite; "
                                 "mount -t configfs none /sys/kernel/config)",
                                 shape.root)};
    }
    std::string folder = shape.root + "/" + shape.name;
    if (Status ours = check_ours(folder); !ours) {
        return ours.error();
    }
    if (std::string udc = value_of(folder + "/UDC"); !udc.empty()) {
        return adopt(shape, folder, udc);
    }
    if (Status made = make_tree(shape, folder); !made) {
        return made.error();
    }
    Result<std::string> udc = bind_controller(shape.root, shape.udc_class, folder, shape.udc);
    if (!udc) {
        return udc.error();
    }
    return GadgetTree{folder, *udc, shape.slots, {}, false};
}

Status remove_gadget(const GadgetShape& shape) {
    std::string folder = shape.root + "/" + shape.name;
    if (!fs::is_directory(folder)) {
        return success();
    }
    if (Status ours = check_ours(folder); !ours) {
        return ours;
    }
    if (!value_of(folder + "/UDC").empty()) {
        if (Status unbound = write_attribute(folder + "/UDC", ""); !unbound) {
            return unbound;
        }
    }
    if (Status unlinked = unlink_functions(folder); !unlinked) {
        return unlinked;
    }
    for (const std::string& function : names_in(folder + "/functions")) {
        if (Status removed = remove_function(folder + "/functions/" + function); !removed) {
            return removed;
        }
    }
    std::string config = folder + "/" + config_folder;
    for (const std::string& path : {config + "/" + english, config, folder + "/" + english, folder}) {
        if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
            return system_error(errno, "cannot remove " + path);
        }
    }
    return success();
}

}  // namespace drivebay::gadgetd
