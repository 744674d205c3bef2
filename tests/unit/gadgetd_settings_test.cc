#define BOOST_TEST_DYN_LINK
#include "gadgetd/settings.h"
#include "tests/unit/temporary_folder.h"

#include <boost/test/unit_test.hpp>
#include <fstream>

using namespace drivebay;

namespace {

// What a configuration with this text is told: its first mistake, or what complete() says; empty: it is good.
std::string verdict(const std::string& text) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/gadgetd.cfg";
    std::ofstream(path) << text;
    gadgetd::Settings settings;
    config::Schema schema("drivebay-gadgetd");
    settings.describe(schema);
    const std::vector<std::string> mistakes = schema.load(path);
    if (!mistakes.empty()) {
        return mistakes.front();
    }
    const Status complete = settings.complete();
    return complete ? "" : complete.error().message;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gadgetd_settings)

BOOST_AUTO_TEST_CASE(a_good_configuration_is_taken) {
    BOOST_CHECK_EQUAL(verdict("blade = \"blade01\";"), "");
    BOOST_CHECK_EQUAL(verdict("blade = \"blade01\"; arbiter = \"[fd00::1]:4740\"; slots = (\"disk\"); gadget = { "
                              "vendor_id = 0x1d6b; };"),
                      "");
}

BOOST_AUTO_TEST_CASE(each_mistake_is_named) {
    for (auto [text, sentence] :
         {std::pair<const char*, const char*>{"blade = \"a/b\";", "blade"},
          {"blade = \"@local\";", "blade"},
          {"arbiter = \"host:99999\";", "arbiter"},
          {"mount = \"srv/drivebay\";", "absolute"},
          {"mount = \"/srv/drivebay/\";", "slash"},
          {"slots = (\"disk\", \"floppy\");", "floppy"},
          {"blade = \"b\"; slots = ();", "1 to 16 slots, not 0"},
          {"blade = \"b\"; slots = (\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\","
           "\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\",\"disk\");",
           "not 17"},
          {"interfaces = \"many\";", "interfaces"},
          {"policy = { on_reset = ( \"eject\" ); };", "\"keep\" or \"detach\""},
          {"blade = \"b\"; slots = (\"disk\"); policy = { on_idle = ( \"keep\", \"detach\" ); };", "policy.on_idle is for 2 slots"},
          {"policy = { idle_after_s = 0; };", "idle_after_s"},
          {"gadget = { vendor_id = 70000; };", "vendor_id"},
          {"gadget = { name = \"../x\"; };", "gadget"},
          {"limits = { drain_ms = -1; };", "drain_ms"},
          {"slotz = ();", "slots"}}) {
        const std::string told = verdict(text);
        BOOST_CHECK_MESSAGE(told.find(sentence) != std::string::npos, text << " is told: " << told);
    }
}

BOOST_AUTO_TEST_CASE(a_policy_is_in_force_for_another_slot_or_without_being_asked_for) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/gadgetd.cfg";
    gadgetd::Settings settings;
    config::Schema schema("drivebay-gadgetd");
    settings.describe(schema);
    BOOST_CHECK(settings.limits().detach_on_reset.empty() && settings.limits().detach_on_idle.empty());
    std::ofstream(path) << "policy = { on_reset = (\"keep\", \"detach\"); reset_after_s = 60; on_idle = (\"detach\"); };";
    BOOST_REQUIRE(schema.load(path).empty());
    BOOST_CHECK(settings.limits().detach_on_reset == std::set{1});
    BOOST_CHECK(settings.limits().detach_on_idle == std::set{0});
    BOOST_CHECK(settings.limits().reset_after == std::chrono::seconds(60));
    BOOST_CHECK(settings.limits().idle_after == std::chrono::hours(1));
}

BOOST_AUTO_TEST_CASE(the_serial_number_has_twelve_digits_and_tells_blades_apart) {
    const std::string serial = gadgetd::serial_number("blade01");
    BOOST_CHECK_EQUAL(serial.size(), 12);
    BOOST_CHECK(serial.find_first_not_of("0123456789ABCDEF") == std::string::npos);
    BOOST_CHECK_EQUAL(serial, gadgetd::serial_number("blade01"));
    BOOST_CHECK_NE(serial, gadgetd::serial_number("blade02"));
}

BOOST_AUTO_TEST_SUITE_END()
