#include "gadgetd/gadget_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "gadgetd/attribute.h"
#include "gadgetd/controllers.h"

namespace drivebay::gadgetd {

namespace {

namespace fs = std::filesystem;
using Step = GadgetStep;

constexpr const char* config_folder = "configs/c.1";
constexpr const char* english = "strings/0x409";

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

std::string value_of(const std::string& path) {
    Result<std::string> value = read_attribute(path);
    return value ? *value : std::string();
}

Status check_ours(const std::string& folder) {
    for (const std::string& function : names_in(folder + "/functions")) {
        if (first_slot_of(function) < 0) {
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

// The slots whose media stand in LUNs of `function` (a folder) from the `from`th on.
void note_media(const std::string& function, int from, std::vector<int>& slots) {
    for (int lun = from; lun < most_slots; ++lun) {
        if (!value_of(fmt::format("{}/lun.{}/file", function, lun)).empty()) {
            slots.push_back(first_slot_of(fs::path(function).filename()) + lun);
        }
    }
}

void make_lun(const std::string& lun, int slot, DriveKind kind, Work& work, GadgetTree& tree) {
    const std::string flag = kind == DriveKind::cdrom ? "1" : "0";
    if (!value_of(lun + "/file").empty()) {
        if (value_of(lun + "/cdrom") == flag) {
            return;  // a medium of an earlier run: the planner decides about it
        }
        tree.emptied.push_back(slot);
        work.ask({Step::Kind::write, lun + "/forced_eject", "1"});
    }
    // ro after cdrom: setting cdrom sets ro too, and clearing it leaves ro as it is.
    for (auto [name, value] : {std::pair<const char*, std::string>{"removable", "1"}, {"cdrom", flag}, {"ro", flag}}) {
        work.ask({Step::Kind::write, lun + "/" + name, value});
    }
}

void make_frame(const GadgetShape& shape, const std::string& folder, Work& work) {
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
}

// The functions of `layout` in place of whatever functions are there. Every LUN is made before its function is linked:
// after that the kernel makes none (EBUSY).
void make_functions(const GadgetShape& shape, const Layout& layout, Work& work, GadgetTree& tree) {
    const std::string config = tree.folder + "/" + config_folder;
    unlink_functions(tree.folder, work);
    for (const std::string& name : names_in(tree.folder + "/functions")) {
        const std::string function = tree.folder + "/functions/" + name;
        const int first = first_slot_of(name);
        const bool stays = first < static_cast<int>(shape.slots.size()) && function_of(layout, first) == first;
        if (!stays) {
            note_media(function, 0, tree.emptied);
            remove_function(function, work);
            continue;
        }
        int luns = 0;
        while (first + luns < static_cast<int>(shape.slots.size()) && function_of(layout, first + luns) == first) {
            ++luns;
        }
        note_media(function, luns, tree.emptied);
        for (const std::string& lun : names_in(function)) {
            if (lun.starts_with("lun.") && atoi(lun.c_str() + 4) >= luns) {
                work.no_folder(function + "/" + lun);
            }
        }
    }
    // The order of the links is the order of the interfaces that the host sees.
    int slot = 0;
    for (const int luns : layout) {
        const std::string name = function_name(slot);
        const std::string function = tree.folder + "/functions/" + name;
        work.folder(function);
        for (int lun = 0; lun < luns; ++lun, ++slot) {
            const std::string folder = fmt::format("{}/lun.{}", function, lun);
            lun == 0 ? work.expect_folder(folder) : work.folder(folder);
            make_lun(folder, slot, shape.slots[static_cast<std::size_t>(slot)], work, tree);
        }
        work.ask({Step::Kind::link, config + "/" + name, function});
    }
    tree.layout = layout;
}

const char* remedy =
    "to change it: stop drivebay-gadgetd, run drivebay-gadgetd --remove (the host loses its drives), and start it "
    "again";

bool as_configured(const GadgetShape& shape, const Layout& layout) {
    switch (shape.interfaces) {
        case Interfaces::slot: return std::all_of(layout.begin(), layout.end(), [](int luns) { return luns == 1; });
        case Interfaces::luns: return layout.size() == 1;
        case Interfaces::automatic: break;
    }
    return true;
}

// What the operator has not asked for in so many words, or may have forgotten.
void tell_sharing(const GadgetShape& shape, GadgetTree& tree) {
    if (shape.interfaces == Interfaces::automatic && tree.layout.size() < tree.slots.size()) {
        tree.notices.push_back(
            fmt::format("the device chip has endpoints for {} of {} interfaces: slots {} share one each, and a medium "
                        "that hangs holds up "
                        "those that share its interface",
                        tree.layout.size(), tree.slots.size(), sharing(tree.layout)));
    }
}

// What a bound gadget is made of, read back.
Result<GadgetTree> adopt(const GadgetShape& shape, const std::string& folder, const std::string& udc) {
    GadgetTree tree;
    tree.folder = folder;
    tree.udc = udc;
    tree.adopted = true;
    std::vector<std::string> linked = names_in(folder + "/" + config_folder);
    for (int first = 0; std::find(linked.begin(), linked.end(), function_name(first)) != linked.end();) {
        int luns = 0;
        for (;; ++luns) {
            const std::string lun = fmt::format("{}/functions/{}/lun.{}", folder, function_name(first), luns);
            if (!fs::is_directory(lun)) {
                break;
            }
            Result<std::string> cdrom = read_attribute(lun + "/cdrom");
            if (!cdrom) {
                return cdrom.error();
            }
            tree.slots.push_back(*cdrom == "1" ? DriveKind::cdrom : DriveKind::disk);
        }
        if (luns == 0) {
            break;
        }
        tree.layout.push_back(luns);
        first += luns;
    }
    if (tree.slots.empty()) {
        return Error{EEXIST,
                     fmt::format("{} is bound to {} and has no slot of drivebay's. It was left as it is; set another "
                                 "gadget.name, or remove that gadget",
                                 folder, udc)};
    }
    if (tree.slots != shape.slots) {
        tree.notices.push_back(
            fmt::format("the bound gadget has other slots than configured and keeps them; {}", remedy));
    } else if (!as_configured(shape, tree.layout)) {
        tree.notices.push_back(
            fmt::format("the bound gadget has {} interfaces for {} slots, which is not as configured, and "
                        "keeps them; {}",
                        tree.layout.size(), tree.slots.size(), remedy));
    }
    if (!shape.udc.empty() && shape.udc != udc) {
        tree.notices.push_back(
            fmt::format("the gadget is bound to {}, not to {}, and stays there; {}", udc, shape.udc, remedy));
    }
    tell_sharing(shape, tree);
    return tree;
}

}  // namespace

std::string GadgetTree::lun_folder(int slot) const {
    const int first = function_of(layout, slot);
    return fmt::format("{}/functions/{}/lun.{}", folder, function_name(first), slot - first);
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
    Result<std::vector<std::string>> controllers = free_controllers(shape.root, shape.udc_class, shape.udc);
    if (!controllers) {
        return controllers.error();
    }
    GadgetTree tree;
    tree.folder = folder;
    tree.slots = shape.slots;
    Work work(hands);
    make_frame(shape, folder, work);
    const int slots = static_cast<int>(shape.slots.size());
    const int most = shape.interfaces == Interfaces::luns ? 1 : slots;
    const int least = shape.interfaces == Interfaces::slot ? slots : 1;
    std::vector<std::string> reasons;
    for (const std::string& udc : *controllers) {
        Status bound = success();
        // An operator who says "slot" knows the controller.
        const int offered = shape.interfaces == Interfaces::automatic ? std::min(most, most_interfaces(udc)) : most;
        for (int functions = offered; functions >= least; --functions) {
            make_functions(shape, share(slots, functions), work, tree);
            if (!work.outcome()) {
                return work.outcome().error();
            }
            // What a chip without enough endpoints answers differs between kernels (EBUSY in 6.1, from
            // usb_gadget_register_driver(); the function's own ENOTSUPP in others), so any refusal is taken for that.
            bound = hands({Step::Kind::bind, folder + "/UDC", udc});
            if (bound) {
                tree.udc = udc;
                tell_sharing(shape, tree);
                return tree;
            }
        }
        reasons.push_back(fmt::format("{}: {}", udc, bound.error().message));
    }
    return Error{EBUSY,
                 fmt::format("no USB device controller could be taken ({}){}", fmt::join(reasons, "; "),
                             least > 1 ? fmt::format("; a device chip may have too few endpoints for {} interfaces: "
                                                     "interfaces = \"auto\" makes as many as it takes",
                                                     slots)
                                       : "")};
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
