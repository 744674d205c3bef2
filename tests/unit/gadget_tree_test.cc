// The gadget's tree, made in a plain folder where configfs would be. What only the kernel does (binding, unlinking from
// a bound gadget) is tested in the virtual chassis.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/gadget_tree.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>

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
