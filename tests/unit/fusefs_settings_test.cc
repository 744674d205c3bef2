#define BOOST_TEST_DYN_LINK
#include "fusefs/settings.h"

#include <boost/test/unit_test.hpp>

namespace drivebay {

BOOST_AUTO_TEST_SUITE(fusefs_settings)

BOOST_AUTO_TEST_CASE(an_fstab_line_loses_its_options) {
    std::vector<std::string> arguments = {"drivebayfs",
                                          "mm.example",
                                          "/srv/drivebay",
                                          "-o",
                                          "rw,noatime,nofail,_netdev,x-systemd.automount,config=/etc/a.cfg,allow_other",
                                          "-f"};
    const Result<MountRequest> mount = take_mount_options(arguments);
    BOOST_REQUIRE(mount.ok());
    BOOST_TEST(mount->config == "/etc/a.cfg");
    BOOST_TEST(mount->allow_other);
    BOOST_TEST(!mount->read_only);
    const std::vector<std::string> left = {"drivebayfs", "mm.example", "/srv/drivebay", "-f"};
    BOOST_TEST(arguments == left);
}

BOOST_AUTO_TEST_CASE(options_in_other_forms_are_not_understood) {
    std::vector<std::string> arguments = {"drivebayfs", "-oro,role=blade", "a", "-o", "blade=b1", "b"};
    const Result<MountRequest> mount = take_mount_options(arguments);
    BOOST_REQUIRE(mount.ok());
    BOOST_TEST(mount->read_only);
    BOOST_TEST(mount->role == "blade");
    BOOST_TEST(mount->blade == "b1");
    BOOST_TEST(arguments.size() == 3U);
}

BOOST_AUTO_TEST_CASE(an_unknown_option_is_let_pass) {
    for (const char* list : {"ro,allow_othr", "max_read=5", "configs=/a", "=", "rw,rolle=blade"}) {
        std::vector<std::string> arguments = {"drivebayfs", "-o", list};
        BOOST_TEST(!take_mount_options(arguments).ok());
    }
    std::vector<std::string> bare = {"drivebayfs", "a", "b", "-o"};
    BOOST_TEST(!take_mount_options(bare).ok());
}

BOOST_AUTO_TEST_CASE(a_blade_asks_the_wrong_machine) {
    FusefsSettings settings;
    settings.management = "10.0.0.1:1234";
    MountRequest mount;
    mount.source = "mm.example";
    BOOST_TEST(management_endpoint(settings, mount)->host == "mm.example");
    BOOST_TEST(management_endpoint(settings, mount)->port == default_nbd_port);
    mount.source = "drivebay";
    BOOST_TEST(management_endpoint(settings, mount)->host == "10.0.0.1");
    BOOST_TEST(management_endpoint(settings, mount)->port == 1234);
    settings.management.clear();
    BOOST_TEST(!management_endpoint(settings, mount).ok());
}

BOOST_AUTO_TEST_CASE(a_nameless_blade_starts) {
    FusefsSettings settings;
    BOOST_TEST(settings.check().ok());
    settings.role = "blade";
    BOOST_TEST(!settings.check().ok());
    settings.blade = "a/b";
    BOOST_TEST(!settings.check().ok());
    settings.blade = "blade01";
    BOOST_TEST(settings.check().ok());
}

BOOST_AUTO_TEST_CASE(a_drive_is_both_in_the_page_cache_and_past_it) {
    FusefsSettings settings;
    settings.page_cache = {"a", "b"};
    settings.direct = {"c"};
    BOOST_TEST(settings.check().ok());
    settings.direct.push_back("b");
    BOOST_TEST(!settings.check().ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
