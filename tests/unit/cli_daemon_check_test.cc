#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "cli/arbiter.h"
#include "cli/daemon_check.h"

using namespace drivebay::cli;

BOOST_AUTO_TEST_SUITE(cli_daemon_check)

BOOST_AUTO_TEST_CASE(a_configuration_is_judged_by_the_wrong_daemon) {
    BOOST_TEST(*daemon_of_file("/etc/drivebay/arbiter.cfg") == "arbiter");
    BOOST_TEST(*daemon_of_file("fusefs.cfg") == "fusefs");
    BOOST_TEST(*daemon_of_file("/arbiter/gadgetd-blade01.cfg") == "gadgetd");
    const auto unknown = daemon_of_file("/arbiter/other.cfg");
    BOOST_REQUIRE(!unknown.ok());
    BOOST_TEST(unknown.error().code == wrong_usage);
    BOOST_TEST(unknown.error().message.find("--for") != std::string::npos);
    BOOST_TEST(program_of("arbiter") == "drivebay-arbiterd");
    BOOST_TEST(program_of("fusefs") == "drivebayfs");
    BOOST_TEST(program_of("gadgetd") == "drivebay-gadgetd");
}

BOOST_AUTO_TEST_CASE(another_program_is_preferred_to_the_one_beside_the_command) {
    const auto there = [](const std::string& path) { return path != "/own/drivebayfs"; };
    const auto everywhere = [](const std::string&) { return true; };
    BOOST_TEST(find_program("drivebayfs", {"/own", "/usr/sbin"}, everywhere) == "/own/drivebayfs");
    BOOST_TEST(find_program("drivebayfs", {"/own", "/usr/sbin"}, there) == "/usr/sbin/drivebayfs");
    BOOST_TEST(find_program("drivebayfs", {"/own"}, there) == "");
}

BOOST_AUTO_TEST_CASE(what_the_daemon_says_of_a_file_is_lost) {
    const auto accepted = run_check("/bin/echo", "/a file (1).cfg");
    BOOST_REQUIRE(accepted.ok());
    BOOST_TEST(accepted->accepted);
    BOOST_TEST(accepted->output == "--check-config --config /a file (1).cfg\n");
    const auto refusal = run_check("/bin/false", "/x.cfg");
    BOOST_REQUIRE(refusal.ok());
    BOOST_TEST(!refusal->accepted);
    BOOST_TEST(!refusal->output.empty());
    BOOST_TEST(!run_check("/nonexistent/program", "/x.cfg").ok());
}

BOOST_AUTO_TEST_SUITE_END()
