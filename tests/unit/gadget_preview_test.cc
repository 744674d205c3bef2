// A plan against what is done: the same gadget in a plain folder where configfs would be, once looked at and once made.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/gadget_preview.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "gadgetd/attribute.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::gadgetd;
namespace fs = std::filesystem;

namespace {

struct Configfs {
    TemporaryFolder temporary;
    const std::string folder = temporary.path();
    GadgetShape shape;

    Configfs() {
        shape.root = folder + "/usb_gadget";
        shape.udc_class = folder + "/udc";
        shape.serial = "0123456789AB";
        shape.slots = {DriveKind::cdrom, DriveKind::disk};
        fs::create_directories(shape.root);
        fs::create_directories(shape.udc_class + "/dummy_udc.0");
    }
    void write(const std::string& path, const std::string& value) {
        fs::create_directories(fs::path(folder + "/" + path).parent_path());
        BOOST_REQUIRE(write_attribute(folder + "/" + path, value).ok());
    }
    // Every folder, link and value, a line each.
    std::string contents() const {
        std::string text;
        std::vector<fs::path> paths;
        for (const auto& entry : fs::recursive_directory_iterator(folder)) {
            paths.push_back(entry.path());
        }
        std::sort(paths.begin(), paths.end());
        for (const fs::path& path : paths) {
            text += path.string() + " ";
            text += fs::is_symlink(path) ? fs::read_symlink(path).string()
                    : fs::is_directory(path) ? ""
                                             : read_attribute(path).value();
            text += "\n";
        }
        return text;
    }
    // What a start asks of configfs, done.
    std::vector<GadgetStep> raise() {
        std::vector<GadgetStep> done;
        const GadgetHands note = noting(done);
        BOOST_REQUIRE(raise_gadget(shape, [&](const GadgetStep& step) {
                          (void)note(step);
                          return carry_out(step);
                      }).ok());
        return done;
    }
};

// The steps that differ, for a message.
std::string lines(const std::vector<GadgetStep>& steps) {
    std::string text;
    for (const GadgetStep& step : steps) {
        text += describe(step) + "\n";
    }
    return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gadget_preview)

BOOST_AUTO_TEST_CASE(a_plan_is_not_what_is_then_done) {
    for (bool half_made : {false, true}) {
        Configfs kernel;
        if (half_made) {
            kernel.write("usb_gadget/drivebay/idVendor", "0xdead");
            kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/cdrom", "1");
            kernel.write("usb_gadget/drivebay/functions/mass_storage.slot1/lun.0/file", "/srv/drivebay/scratch@7");
        }
        const GadgetPreview plan = preview_gadget(kernel.shape, false);
        BOOST_CHECK(!plan.refusal && !plan.adopted);
        BOOST_CHECK_EQUAL(plan.udc, "dummy_udc.0");
        BOOST_CHECK_EQUAL(lines(plan.steps), lines(kernel.raise()));
        BOOST_CHECK(plan.steps.back() == (GadgetStep{GadgetStep::Kind::bind, plan.folder + "/UDC", "dummy_udc.0"}));
    }
}

BOOST_AUTO_TEST_CASE(a_plan_changes_something) {
    Configfs kernel;
    kernel.write("usb_gadget/drivebay/idVendor", "0xdead");
    const std::string before = kernel.contents();
    (void)preview_gadget(kernel.shape, false);
    (void)preview_gadget(kernel.shape, true);
    BOOST_CHECK_EQUAL(kernel.contents(), before);
    kernel.raise();
    const std::string bound = kernel.contents();
    (void)preview_gadget(kernel.shape, true);
    BOOST_CHECK_EQUAL(kernel.contents(), bound);
}

BOOST_AUTO_TEST_CASE(a_bound_gadget_is_planned_anew_instead_of_kept) {
    Configfs kernel;
    kernel.raise();
    GadgetPreview plan = preview_gadget(kernel.shape, false);
    BOOST_CHECK(plan.adopted && plan.steps.empty() && plan.notices.empty());
    BOOST_CHECK_EQUAL(to_text(plan, false).find("nothing to do"), 0);
    kernel.shape.slots.push_back(DriveKind::disk);
    plan = preview_gadget(kernel.shape, false);
    BOOST_CHECK(plan.steps.empty() && !plan.refusal);
    BOOST_CHECK(to_text(plan, false).find("note    the bound gadget has other slots") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_plan_does_not_say_where_a_start_would_refuse) {
    Configfs kernel;
    kernel.write("usb_gadget/drivebay/functions/ecm.usb0/qmult", "5");
    GadgetPreview plan = preview_gadget(kernel.shape, false);
    BOOST_REQUIRE(plan.refusal && plan.steps.empty());
    BOOST_CHECK_EQUAL(plan.refusal->code, EEXIST);
    BOOST_CHECK(preview_gadget(kernel.shape, true).refusal.has_value());

    Configfs taken;
    taken.write("usb_gadget/keyboard/UDC", "dummy_udc.0");
    plan = preview_gadget(taken.shape, false);
    BOOST_REQUIRE(plan.refusal && plan.steps.empty());
    BOOST_CHECK(to_text(plan, false).find("refuse  no USB device controller is free (dummy_udc.0 belongs to the "
                                          "gadget keyboard") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_removal_is_not_planned_from_the_top_of_the_tree_down) {
    Configfs kernel;
    kernel.raise();
    const std::string gadget = kernel.shape.root + "/drivebay";
    BOOST_CHECK_EQUAL(lines(preview_gadget(kernel.shape, true).steps),
                      "unbind  " + gadget + "/UDC\n" +
                          "unlink  " + gadget + "/configs/c.1/mass_storage.slot0\n" +
                          "unlink  " + gadget + "/configs/c.1/mass_storage.slot1\n" +
                          "rmdir   " + gadget + "/functions/mass_storage.slot0\n" +
                          "rmdir   " + gadget + "/functions/mass_storage.slot1\n" +
                          "rmdir   " + gadget + "/configs/c.1/strings/0x409\n" +
                          "rmdir   " + gadget + "/configs/c.1\n" +
                          "rmdir   " + gadget + "/strings/0x409\n" +
                          "rmdir   " + gadget + "\n");
}

BOOST_AUTO_TEST_CASE(json_and_table_say_different_things) {
    Configfs kernel;
    const GadgetPreview plan = preview_gadget(kernel.shape, false);
    const auto parsed = nlohmann::json::parse(to_text(plan, true));
    BOOST_CHECK_EQUAL(parsed["actions"].size(), plan.steps.size());
    BOOST_CHECK_EQUAL(parsed["actions"][0]["action"], "mkdir");
    BOOST_CHECK_EQUAL(parsed["actions"].back()["action"], "bind");
    BOOST_CHECK_EQUAL(parsed["refused"], "");
    BOOST_CHECK(to_text(plan, false).find("write   0x1d6b to " + plan.folder + "/idVendor\n") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
