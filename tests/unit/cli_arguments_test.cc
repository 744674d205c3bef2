#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "cli/arbiter.h"
#include "cli/arguments.h"

using namespace drivebay;
using namespace drivebay::cli;

namespace {

template <class T>
std::string sentence(const Result<T>& result) {
    return result ? "accepted" : result.error().message;
}

template <class T>
bool is_wrong_usage(const Result<T>& result) {
    return !result && result.error().code == wrong_usage && !result.error().message.empty();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cli_arguments)

BOOST_AUTO_TEST_CASE(a_name_that_changes_the_url_is_sent) {
    for (const char* name : {"", "a/b", "..", "a?b", "a%2fb", "a b", "a\nb", "-a", "größe", "all", "@local"}) {
        BOOST_TEST(is_wrong_usage(checked_name("drive", name)), name);
    }
    BOOST_TEST(checked_name("drive", "install-12.4_a").ok());
}

BOOST_AUTO_TEST_CASE(a_list_of_blades_is_split_wrongly) {
    const auto blades = checked_blades({"b1,b2", "b3", "b1"});
    BOOST_REQUIRE(blades.ok());
    BOOST_TEST(*blades == (std::vector<std::string>{"b1", "b2", "b3"}), boost::test_tools::per_element());
    BOOST_TEST(*checked_blades({"all"}) == std::vector<std::string>{"all"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_list_of_blades_with_a_hole_or_with_all_among_names_is_accepted) {
    for (const char* list : {"", ",", "b1,", ",b1", "b1,,b2", "b1,all", "b1, b2"}) {
        BOOST_TEST(is_wrong_usage(checked_blades({list})), list);
    }
    BOOST_TEST(is_wrong_usage(checked_blades({})));
}

BOOST_AUTO_TEST_CASE(a_relative_source_is_sent_as_it_is) {
    BOOST_TEST(*checked_source("a b (1).iso", true, "/srv") == "/srv/a b (1).iso");
    BOOST_TEST(*checked_source("../größe.img", true, "/srv/x") == "/srv/x/../größe.img");
    BOOST_TEST(*checked_source("x", true, "/") == "/x");
    BOOST_TEST(*checked_source("/a", true, "/srv") == "/a");
}

BOOST_AUTO_TEST_CASE(a_relative_source_means_another_file_on_a_remote_server) {
    BOOST_TEST(is_wrong_usage(checked_source("a.iso", false, "/srv")));
    BOOST_TEST(is_wrong_usage(checked_source("nbd:/host", false, "/srv")));
    BOOST_TEST(sentence(checked_source("a.iso", false, "/srv")).find("relative") != std::string::npos);
    BOOST_TEST(checked_source("/a.iso", false, "/srv").ok());
}

BOOST_AUTO_TEST_CASE(a_uri_is_taken_for_a_relative_path) {
    for (const char* uri : {"nbd://host/x", "nbds://h", "nbd+unix:///x?socket=/run/s"}) {
        BOOST_TEST(*checked_source(uri, true, "/srv") == uri);
    }
    BOOST_TEST(*checked_source("odd name://x", true, "/srv") == "/srv/odd name://x");
    BOOST_TEST(*checked_source("://x", true, "/srv") == "/srv/://x");
    BOOST_TEST(is_wrong_usage(checked_source("", true, "/srv")));
}

BOOST_AUTO_TEST_CASE(a_wait_that_is_no_number_waits_for_ever_or_not_at_all) {
    for (const char* text : {"", "x", "-1", "1s", "nan", "inf", "1e99", "0x10", " 1", "true", "99999999999"}) {
        BOOST_TEST(is_wrong_usage(checked_wait(text)), text);
    }
    BOOST_TEST(!checked_wait("forever")->has_value());
    BOOST_TEST((**checked_wait("2.5") == std::chrono::milliseconds(2500)));
    BOOST_TEST((**checked_wait("0") == Duration::zero()));
}

BOOST_AUTO_TEST_CASE(an_answer_ends_with_the_wrong_exit_status) {
    BOOST_TEST(judge_answer("s", 200, R"({"name":"x"})").ok());
    const auto conflict = judge_answer("s", 409, R"({"error":"x is held by blade01"})");
    BOOST_REQUIRE(!conflict.ok());
    BOOST_TEST(conflict.error().code == refused);
    BOOST_TEST(conflict.error().message == "x is held by blade01");
    for (const char* body : {"", "<html>", "[]", "null", "{\"a\":"}) {
        const auto stranger = judge_answer("s", 200, body);
        BOOST_REQUIRE(!stranger.ok());
        BOOST_TEST(stranger.error().code == unreachable, body);
    }
    BOOST_TEST(judge_answer("s", 500, R"({"error":7})").error().code == refused);
}

BOOST_AUTO_TEST_CASE(a_server_that_cannot_be_one_is_tried) {
    BOOST_TEST(is_wrong_usage(Arbiter::at("host:99999")));
    BOOST_TEST(is_wrong_usage(Arbiter::at("")));
}

BOOST_AUTO_TEST_CASE(an_arbiter_that_is_not_there_is_no_exit_status_3) {
    const auto arbiter = Arbiter::at("/nonexistent/arbiter.sock");
    BOOST_REQUIRE(arbiter.ok());
    const auto answer = arbiter->get("/v1/status");
    BOOST_REQUIRE(!answer.ok());
    BOOST_TEST(answer.error().code == unreachable);
    BOOST_TEST(answer.error().message.find("/nonexistent/arbiter.sock") != std::string::npos);
    BOOST_TEST(answer.error().message.find("systemctl start drivebay-arbiterd") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
