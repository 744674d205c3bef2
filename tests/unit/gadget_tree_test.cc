// The gadget's tree, made in a plain folder where configfs would be. What only the kernel does (binding, unlinking from
// a bound gadget) is tested in the virtual chassis.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/gadget_tree.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "gadgetd/attribute.h"
#include "gadgetd/controllers.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::gadgetd;
namespace fs = std::filesystem;

namespace {

struct FakeKernel {
    TemporaryFolder temporary;
    const std::string folder = temporary.path();
    GadgetShape shape;

    FakeKernel() {
        shape.root = folder + "/usb_gadget";
        shape.udc_class = folder + "/udc";
        shape.serial = "0123456789AB";
        shape.slots = {DriveKind::cdrom, DriveKind::disk};
        fs::create_directories(shape.root);
        add_controller("dummy_udc.1");
        add_controller("dummy_udc.0");
    }

    void add_controller(const std::string& name) {
        fs::create_directories(shape.udc_class + "/" + name);
        write("udc/" + name + "/state", "configured");
        write("udc/" + name + "/current_speed", "super-speed");
    }
    void write(const std::string& path, const std::string& value) {
        fs::create_directories(fs::path(folder + "/" + path).parent_path());
        BOOST_REQUIRE(write_attribute(folder + "/" + path, value).ok());
    }
    // A controller with endpoints for `most` functions, as it answers in configfs; everything else is done.
    GadgetHands chip(std::size_t most, int& binds) const {
        return [this, most, &binds](const GadgetStep& step) {
            if (step.kind == GadgetStep::Kind::bind) {
                ++binds;
                const std::string config = shape.root + "/drivebay/configs/c.1";
                const auto linked = std::count_if(fs::directory_iterator(config), fs::directory_iterator(),
                                                  [](const auto& entry) { return entry.is_symlink(); });
                if (static_cast<std::size_t>(linked) > most) {
                    return Status(Error{EBUSY, "Device or resource busy"});
                }
            }
            if (step.kind == GadgetStep::Kind::remove_folder) {  // configfs takes its attributes with it
                fs::remove_all(step.path);
                return success();
            }
            return carry_out(step);
        };
    }
    bool there(const std::string& path) const { return fs::exists(shape.root + "/drivebay/" + path); }
    std::string read(const std::string& path) const {
        Result<std::string> value = read_attribute(folder + "/usb_gadget/drivebay/" + path);
        return value ? *value : "missing";
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(gadget_tree)

BOOST_AUTO_TEST_CASE(a_gadget_is_made_with_one_function_a_slot_and_bound_to_the_first_controller) {
    FakeKernel kernel;
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK(!tree->adopted);
    BOOST_CHECK_EQUAL(tree->udc, "dummy_udc.0");
    BOOST_CHECK_EQUAL(kernel.read("UDC"), "dummy_udc.0");
    BOOST_CHECK_EQUAL(kernel.read("idVendor"), "0x1d6b");
    BOOST_CHECK_EQUAL(kernel.read("strings/0x409/serialnumber"), "0123456789AB");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.0/removable"), "1");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.0/cdrom"), "1");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot1/lun.0/cdrom"), "0");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot1/lun.0/ro"), "0");
    BOOST_CHECK(fs::is_symlink(tree->folder + "/configs/c.1/mass_storage.slot0"));
    BOOST_CHECK(fs::is_symlink(tree->folder + "/configs/c.1/mass_storage.slot1"));
    BOOST_CHECK_EQUAL(tree->lun_folder(1), tree->folder + "/functions/mass_storage.slot1/lun.0");
}

BOOST_AUTO_TEST_CASE(a_bound_gadget_is_adopted_as_it_stands_whatever_is_configured) {
    FakeKernel kernel;
    BOOST_REQUIRE(raise_gadget(kernel.shape).ok());
    kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/file", "/srv/drivebay/scratch@7");
    kernel.shape.slots = {DriveKind::disk, DriveKind::disk, DriveKind::disk};
    kernel.shape.udc = "dummy_udc.1";
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK(tree->adopted);
    BOOST_CHECK_EQUAL(tree->udc, "dummy_udc.0");
    BOOST_CHECK((tree->slots == std::vector{DriveKind::cdrom, DriveKind::disk}));
    BOOST_CHECK_EQUAL(tree->notices.size(), 2);
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot1/lun.0/file"), "/srv/drivebay/scratch@7");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot2/lun.0/removable"), "missing");
}

BOOST_AUTO_TEST_CASE(a_half_made_gadget_is_completed) {
    FakeKernel kernel;
    kernel.write("usb_gadget/drivebay/idVendor", "0xdead");
    kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/removable", "0");
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK_EQUAL(kernel.read("idVendor"), "0x1d6b");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot1/lun.0/removable"), "1");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.0/removable"), "1");
}

BOOST_AUTO_TEST_CASE(a_medium_in_an_unbound_gadget_is_left_for_the_planner) {
    FakeKernel kernel;
    BOOST_REQUIRE(raise_gadget(kernel.shape).ok());
    kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/file", "/srv/drivebay/scratch@7");
    kernel.write("usb_gadget/drivebay/UDC", "");
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot1/lun.0/file"), "/srv/drivebay/scratch@7");
}

BOOST_AUTO_TEST_CASE(a_gadget_that_is_not_ours_is_left_alone) {
    for (bool bound : {false, true}) {
        FakeKernel kernel;
        kernel.write("usb_gadget/drivebay/functions/ecm.usb0/qmult", "5");
        kernel.write("usb_gadget/drivebay/UDC", bound ? "dummy_udc.0" : "");
        Result<GadgetTree> tree = raise_gadget(kernel.shape);
        BOOST_REQUIRE(!tree.ok());
        BOOST_CHECK_EQUAL(tree.error().code, EEXIST);
        BOOST_CHECK(tree.error().message.find("ecm.usb0") != std::string::npos);
        BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.0/removable"), "missing");
        BOOST_CHECK_EQUAL(remove_gadget(kernel.shape).error().code, EEXIST);
        BOOST_CHECK_EQUAL(kernel.read("functions/ecm.usb0/qmult"), "5");
    }
}

BOOST_AUTO_TEST_CASE(a_bound_gadget_without_slots_is_not_ours) {
    FakeKernel kernel;
    kernel.write("usb_gadget/drivebay/UDC", "dummy_udc.0");
    fs::create_directories(kernel.shape.root + "/drivebay/configs/c.1");
    BOOST_CHECK_EQUAL(raise_gadget(kernel.shape).error().code, EEXIST);
}

BOOST_AUTO_TEST_CASE(another_gadgets_controller_is_not_taken) {
    FakeKernel kernel;
    kernel.write("usb_gadget/keyboard/UDC", "dummy_udc.0");
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK_EQUAL(tree->udc, "dummy_udc.1");
}

BOOST_AUTO_TEST_CASE(no_controller_left_is_told_with_its_owners) {
    FakeKernel kernel;
    kernel.write("usb_gadget/keyboard/UDC", "dummy_udc.0");
    kernel.shape.udc = "dummy_udc.0";
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE(!tree.ok());
    BOOST_CHECK_EQUAL(tree.error().code, EBUSY);
    BOOST_CHECK(tree.error().message.find("dummy_udc.0 belongs to the gadget keyboard") != std::string::npos);
    kernel.shape.udc = "fe980000.usb";
    tree = raise_gadget(kernel.shape);
    BOOST_CHECK_EQUAL(tree.error().code, ENODEV);
    BOOST_CHECK(tree.error().message.find("dummy_udc.0, dummy_udc.1") != std::string::npos);
    fs::remove_all(kernel.shape.udc_class);
    tree = raise_gadget(kernel.shape);
    BOOST_CHECK_EQUAL(tree.error().code, ENODEV);
}

BOOST_AUTO_TEST_CASE(a_controller_of_another_driver_is_tried) {
    FakeKernel kernel;
    kernel.write("udc/dummy_udc.0/function", "g_mass_storage");
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE(tree.ok());
    BOOST_CHECK_EQUAL(tree->udc, "dummy_udc.1");
}

BOOST_AUTO_TEST_CASE(slots_are_shared_out_unevenly_or_out_of_their_order) {
    BOOST_CHECK((share(4, 4) == Layout{1, 1, 1, 1}));
    BOOST_CHECK((share(4, 1) == Layout{4}));
    BOOST_CHECK((share(12, 9) == Layout{1, 1, 1, 1, 1, 1, 2, 2, 2}));
    for (int slots = 1; slots <= most_slots; ++slots) {
        for (int functions = 1; functions <= slots; ++functions) {
            const Layout layout = share(slots, functions);
            BOOST_CHECK_EQUAL(layout.size(), functions);
            BOOST_CHECK_EQUAL(std::accumulate(layout.begin(), layout.end(), 0), slots);
            BOOST_CHECK(std::is_sorted(layout.begin(), layout.end()) && layout.back() - layout.front() <= 1);
        }
    }
    BOOST_CHECK_EQUAL(sharing(share(12, 9)), "6 and 7; 8 and 9; 10 and 11");
    BOOST_CHECK_EQUAL(sharing(share(5, 2)), "0 and 1; 2, 3 and 4");
    BOOST_CHECK_EQUAL(siblings(share(5, 2), 3), "2, 4");
    BOOST_CHECK_EQUAL(siblings(share(4, 4), 3), "");
}

BOOST_AUTO_TEST_CASE(all_slots_behind_one_interface_are_not_luns_made_before_it_is_linked) {
    FakeKernel kernel;
    kernel.shape.interfaces = Interfaces::luns;
    std::vector<GadgetStep> steps;
    Result<GadgetTree> tree = raise_gadget(kernel.shape, [&](const GadgetStep& step) {
        steps.push_back(step);
        return carry_out(step);
    });
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK((tree->layout == Layout{2}));
    BOOST_CHECK_EQUAL(tree->lun_folder(1), tree->folder + "/functions/mass_storage.slot0/lun.1");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.0/cdrom"), "1");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.1/cdrom"), "0");
    BOOST_CHECK_EQUAL(kernel.read("functions/mass_storage.slot0/lun.1/removable"), "1");
    BOOST_CHECK(!kernel.there("functions/mass_storage.slot1"));
    BOOST_CHECK(steps[steps.size() - 2].kind == GadgetStep::Kind::link);
    BOOST_CHECK_EQUAL(std::count_if(steps.begin(), steps.end(),
                                    [](const GadgetStep& step) { return step.kind == GadgetStep::Kind::link; }),
                      1);
}

BOOST_AUTO_TEST_CASE(a_chip_with_few_endpoints_gets_no_gadget_or_fewer_interfaces_than_it_takes) {
    FakeKernel kernel;
    fs::remove_all(kernel.shape.udc_class);
    kernel.add_controller("fe980000.usb");
    kernel.shape.slots.assign(12, DriveKind::disk);
    kernel.shape.interfaces = Interfaces::automatic;
    int binds = 0;
    Result<GadgetTree> tree = raise_gadget(kernel.shape, kernel.chip(9, binds));
    BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
    BOOST_CHECK_EQUAL(binds, 4);
    BOOST_CHECK_EQUAL(tree->udc, "fe980000.usb");
    BOOST_CHECK((tree->layout == share(12, 9)));
    BOOST_REQUIRE_EQUAL(tree->notices.size(), 1);
    BOOST_CHECK(tree->notices[0].find("endpoints for 9 of 12 interfaces: slots 6 and 7; 8 and 9; 10 and 11 share") !=
                std::string::npos);
    BOOST_CHECK_EQUAL(tree->lun_folder(11), tree->folder + "/functions/mass_storage.slot10/lun.1");
    for (const char* name : {"mass_storage.slot7", "mass_storage.slot9", "mass_storage.slot11"}) {
        BOOST_CHECK_MESSAGE(!kernel.there(std::string("functions/") + name), name << " is left of an attempt");
        BOOST_CHECK_MESSAGE(!kernel.there(std::string("configs/c.1/") + name), name << " is still linked");
    }
    BOOST_CHECK(!kernel.there("functions/mass_storage.slot5/lun.1"));
}

BOOST_AUTO_TEST_CASE(a_controller_that_takes_more_than_a_host_can_use_is_filled) {
    FakeKernel kernel;
    kernel.shape.slots.assign(12, DriveKind::disk);
    kernel.shape.interfaces = Interfaces::automatic;
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE(tree.ok());
    BOOST_CHECK((tree->layout == Layout{3, 3, 3, 3}));
    BOOST_CHECK_EQUAL(tree->notices.size(), 1);
}

BOOST_AUTO_TEST_CASE(one_interface_a_slot_is_quietly_made_fewer) {
    FakeKernel kernel;
    kernel.shape.slots.assign(12, DriveKind::disk);
    int binds = 0;
    Result<GadgetTree> tree = raise_gadget(kernel.shape, kernel.chip(9, binds));
    BOOST_REQUIRE(!tree.ok());
    BOOST_CHECK_EQUAL(tree.error().code, EBUSY);
    BOOST_CHECK(tree.error().message.find("too few endpoints for 12 interfaces: interfaces = \"auto\"") !=
                std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_bound_gadget_is_given_another_layout_than_it_has) {
    for (const Interfaces made : {Interfaces::slot, Interfaces::luns, Interfaces::automatic}) {
        for (const Interfaces wanted : {Interfaces::slot, Interfaces::luns, Interfaces::automatic}) {
            FakeKernel kernel;
            kernel.shape.slots.assign(5, DriveKind::disk);
            kernel.shape.interfaces = made;
            int binds = 0;
            Result<GadgetTree> tree = raise_gadget(kernel.shape, kernel.chip(made == Interfaces::slot ? 9 : 2, binds));
            BOOST_REQUIRE_MESSAGE(tree.ok(), (tree.ok() ? "" : tree.error().message));
            kernel.shape.interfaces = wanted;
            Result<GadgetTree> adopted = raise_gadget(kernel.shape);
            BOOST_REQUIRE(adopted.ok());
            BOOST_CHECK(adopted->adopted && adopted->layout == tree->layout && adopted->slots == tree->slots);
            for (int slot = 0; slot < 5; ++slot) {
                BOOST_CHECK_EQUAL(adopted->lun_folder(slot), tree->lun_folder(slot));
            }
            const bool other = wanted != made && wanted != Interfaces::automatic;
            const bool shares = wanted == Interfaces::automatic && made != Interfaces::slot;
            BOOST_CHECK_EQUAL(adopted->notices.size(), (other ? 1 : 0) + (shares ? 1 : 0));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_medium_that_a_new_layout_has_no_place_for_is_taken_for_its_hosts_eject) {
    FakeKernel kernel;
    int binds = 0;
    BOOST_REQUIRE(raise_gadget(kernel.shape, kernel.chip(9, binds)).ok());
    kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/file", "/srv/drivebay/scratch@7");
    kernel.write("usb_gadget/drivebay/UDC", "");
    kernel.shape.interfaces = Interfaces::luns;
    Result<GadgetTree> tree = raise_gadget(kernel.shape, kernel.chip(9, binds));
    BOOST_REQUIRE(tree.ok());
    BOOST_CHECK(tree->emptied == std::vector{1});
    BOOST_CHECK(!kernel.there("functions/mass_storage.slot1"));
}

BOOST_AUTO_TEST_CASE(a_half_made_gadget_keeps_luns_or_functions_of_another_layout) {
    FakeKernel kernel;
    int binds = 0;
    for (const Interfaces made : {Interfaces::luns, Interfaces::slot, Interfaces::luns}) {
        kernel.shape.interfaces = made;
        BOOST_REQUIRE(raise_gadget(kernel.shape, kernel.chip(9, binds)).ok());
        BOOST_CHECK_EQUAL(kernel.there("functions/mass_storage.slot0/lun.1"), made == Interfaces::luns);
        BOOST_CHECK_EQUAL(kernel.there("functions/mass_storage.slot1"), made == Interfaces::slot);
        BOOST_CHECK_EQUAL(kernel.there("configs/c.1/mass_storage.slot1"), made == Interfaces::slot);
        kernel.write("usb_gadget/drivebay/UDC", "");
    }
}

BOOST_AUTO_TEST_CASE(without_configfs_the_sentence_says_what_to_type) {
    FakeKernel kernel;
    fs::remove_all(kernel.shape.root);
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE(!tree.ok());
    BOOST_CHECK(tree.error().message.find("modprobe libcomposite") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_unbound_gadget_is_not_called_configured) {
    FakeKernel kernel;
    Result<GadgetTree> tree = raise_gadget(kernel.shape);
    BOOST_REQUIRE(tree.ok());
    BOOST_CHECK(
        (read_controller(tree->folder, kernel.shape.udc_class) == ControllerState{"configured", "super-speed"}));
    kernel.write("usb_gadget/drivebay/UDC", "");
    BOOST_CHECK((read_controller(tree->folder, kernel.shape.udc_class) == ControllerState{"not bound", ""}));
}

BOOST_AUTO_TEST_SUITE_END()
