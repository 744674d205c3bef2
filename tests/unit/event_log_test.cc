// The audit log.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "arbiter/event_log.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;

BOOST_AUTO_TEST_SUITE(event_log)

BOOST_AUTO_TEST_CASE(ids_start_again_after_a_restart) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/logs/audit.log";
    std::uint64_t last = 0;
    {
        auto log = EventLog::open(path, 10);
        BOOST_REQUIRE(log.ok());
        (*log)->append({.event = "granted", .drive = "d", .epoch = 3});
        (*log)->append({.event = "fenced", .drive = "d", .epoch = 3, .detail = "with \"quotes\"\nand a newline"});
        last = (*log)->last();
    }
    std::ofstream(path, std::ios::app) << R"({"id":99,"half wri)";
    auto log = EventLog::open(path, 10);
    BOOST_REQUIRE(log.ok());
    BOOST_TEST((*log)->last() == last);
    (*log)->append({.event = "granted"});
    const auto lines = (*log)->after(0, 100);
    BOOST_REQUIRE_EQUAL(lines.size(), 3u);
    BOOST_TEST(lines[2].id == last + 1);
    const auto json = nlohmann::json::parse(lines[1].json);
    BOOST_TEST(json["event"] == "fenced");
    BOOST_TEST(json["epoch"] == 3);
    BOOST_TEST(!json.contains("blade"));
    BOOST_TEST((*log)->after(lines[1].id, 100).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_rotated_log_goes_on_in_the_old_file) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/audit.log";
    auto log = EventLog::open(path, 0);
    BOOST_REQUIRE(log.ok());
    (*log)->append({.event = "one"});
    std::rename(path.c_str(), (path + ".1").c_str());
    BOOST_REQUIRE((*log)->reopen().ok());
    (*log)->append({.event = "two"});
    std::ifstream file(path);
    std::string line;
    BOOST_REQUIRE(std::getline(file, line));
    BOOST_TEST(line.find("\"two\"") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
