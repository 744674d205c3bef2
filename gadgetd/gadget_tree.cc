#include "gadgetd/gadget_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "gadgetd/attribute.h"
#include "gadgetd/controllers.h"

namespace drivebay::gadgetd {

namespace {

namespace fs = std::filesystem;
using Step = GadgetStep;

constexpr std::string_view function_prefix = "mass_storage.slot";
constexpr const char* config_folder = "configs/c.1";
constexpr const char* english = "strings/0x409";

std::string function_name(int slot) {
    return fmt::format("{}{}", function_prefix, slot);
}

// Asks for steps one after the other, until one fails.
class Work {
public:
    explicit Work(const GadgetHands& hands) : hands_(hands) {}

    void folder(const std::string& path) {
        if (!fs::is_directory(path)) {
            ask({Step::Kind::make_folder, path, ""});
        }
    }
    void expect_folder(const std::string& path) { ask({Step::Kind::expect_folder, path, ""}); }
    void no_folder(const std::string& path) {
        if (fs::is_directory(path)) {
            ask({Step::Kind::remove_folder, path, ""});
        }
    }
    void ask(const Step& step) {
        if (outcome_) {
            outcome_ = hands_(step);
        }
    }
    const Status& outcome() const { return outcome_; }

private:
    const GadgetHands& hands_;
    Status outcome_ = success();
};

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

void unlink_functions(const std::string& folder, Work& work) {
    std::string config = folder + "/" + config_folder;
    for (const std::string& name : names_in(config)) {
        if (fs::is_symlink(config + "/" + name)) {
            work.ask({Step::Kind::unlink, config + "/" + name, ""});
        }
    }
}

// lun.0 goes with its function.
void remove_function(const std::string& folder, Work& work) {
    for (const std::string& name : names_in(folder)) {
        if (name.starts_with("lun.") && name != "lun.0") {
            work.no_folder(folder + "/" + name);
        }
    }
    work.no_folder(folder);
}

void make_slot(const std::string& folder, int slot, DriveKind kind, Work& work) {
    std::string function = folder + "/functions/" + function_name(slot);
    std::string lun = function + "/lun.0";
    work.folder(function);
    work.expect_folder(lun);
    const std::string flag = kind == DriveKind::cdrom ? "1" : "0";
    if (!value_of(lun + "/file").empty()) {
        if (value_of(lun + "/cdrom") == flag) {
            return;  // a medium of an earlier run: the planner decides about it
        }
        work.ask({Step::Kind::write, lun + "/forced_eject", "1"});
    }
    // ro after cdrom: setting cdrom sets ro too, and clearing it leaves ro as it is.
    for (auto [name, value] : {std::pair<const char*, std::string>{"removable", "1"}, {"cdrom", flag}, {"ro", flag}}) {
        work.ask({Step::Kind::write, lun + "/" + name, value});
    }
}

void make_tree(const GadgetShape& shape, const std::string& folder, Work& work) {
    const std::string config = folder + "/" + config_folder;
    work.folder(folder);
    work.expect_folder(folder + "/strings");
    work.folder(folder + "/" + english);
    work.expect_folder(folder + "/functions");
    work.expect_folder(folder + "/configs");
    work.folder(config);
    work.expect_folder(config + "/strings");
    work.folder(config + "/" + english);
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {"idVendor", fmt::format("{:#06x}", shape.vendor_id)},
             {"idProduct", fmt::format("{:#06x}", shape.product_id)},
             {"bcdDevice", "0x0100"},
             {std::string(english) + "/manufacturer", shape.manufacturer},
             {std::string(english) + "/product", shape.product},
             {std::string(english) + "/serialnumber", shape.serial},
             {std::string(config_folder) + "/" + english + "/configuration", "drives"}}) {
        work.ask({Step::Kind::write, folder + "/" + name, value});
    }
    unlink_functions(folder, work);
    int count = static_cast<int>(shape.slots.size());
    for (const std::string& function : names_in(folder + "/functions")) {
        if (slot_of(function) >= count) {
            remove_function(folder + "/functions/" + function, work);
        }
    }
    // The order of the links is the order of the interfaces that the host sees.
    for (int slot = 0; slot < count; ++slot) {
        make_slot(folder, slot, shape.slots[static_cast<std::size_t>(slot)], work);
        work.ask({Step::Kind::link, config + "/" + function_name(slot), folder + "/functions/" + function_name(slot)});
    }
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

Result<GadgetTree> raise_gadget(const GadgetShape& shape, const GadgetHands& hands) {
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
    Work work(hands);
    make_tree(shape, folder, work);
    if (!work.outcome()) {
        return work.outcome().error();
    }
    Result<std::string> udc = bind_controller(shape.root, shape.udc_class, folder, shape.udc, hands);
    if (!udc) {
        return udc.error();
    }
    return GadgetTree{folder, *udc, shape.slots, {}, false};
}

Status remove_gadget(const GadgetShape& shape, const GadgetHands& hands) {
    std::string folder = shape.root + "/" + shape.name;
    if (!fs::is_directory(folder)) {
        return success();
    }
    if (Status ours = check_ours(folder); !ours) {
        return ours;
    }
    Work work(hands);
    if (!value_of(folder + "/UDC").empty()) {
        work.ask({Step::Kind::unbind, folder + "/UDC", ""});
    }
    unlink_functions(folder, work);
    for (const std::string& function : names_in(folder + "/functions")) {
        remove_function(folder + "/functions/" + function, work);
    }
    std::string config = folder + "/" + config_folder;
    for (const std::string& path : {config + "/" + english, config, folder + "/" + english, folder}) {
        work.no_folder(path);
    }
    return work.outcome();
}

}  // namespace drivebay::gadgetd
