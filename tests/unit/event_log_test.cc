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

namespace {

void append(EventLog& log, const AuditEntry& entry) {
    const std::vector<EventLog::Line> lines{log.draw_up(entry)};
    log.write(lines);
    log.keep(lines);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(event_log)

BOOST_AUTO_TEST_CASE(ids_start_again_after_a_restart) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/logs/audit.log";
    std::uint64_t last = 0;
    {
        auto log = EventLog::open(path, 10);
        BOOST_REQUIRE(log.ok());
        append(**log, {.event = "granted", .drive = "d", .epoch = 3});
        append(**log, {.event = "fenced", .drive = "d", .epoch = 3, .detail = "with \"quotes\"\nand a newline"});
        last = (*log)->last();
    }
    std::ofstream(path, std::ios::app) << R"({"id":99,"half wri)";
    auto log = EventLog::open(path, 10);
    BOOST_REQUIRE(log.ok());
    BOOST_TEST((*log)->last() == last);
    append(**log, {.event = "granted", .by = "somebody\nelse"});
    const auto lines = (*log)->after(0, 100);
    BOOST_REQUIRE_EQUAL(lines.size(), 3u);
    BOOST_TEST(lines[2].id == last + 1);
    const auto json = nlohmann::json::parse(lines[1].json);
    BOOST_TEST(json["event"] == "fenced");
    BOOST_TEST(json["epoch"] == 3);
    BOOST_TEST(!json.contains("blade"));
    BOOST_TEST(!json.contains("by"));
    BOOST_TEST(nlohmann::json::parse(lines[2].json)["by"] == "somebody\nelse");
    BOOST_TEST(lines[2].json.find('\n') == std::string::npos);
    BOOST_TEST((*log)->after(lines[1].id, 100).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_rotated_log_goes_on_in_the_old_file) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/audit.log";
    auto log = EventLog::open(path, 0);
    BOOST_REQUIRE(log.ok());
    append(**log, {.event = "one"});
    std::rename(path.c_str(), (path + ".1").c_str());
    BOOST_REQUIRE((*log)->reopen().ok());
    append(**log, {.event = "two"});
    std::ifstream file(path);
    std::string line;
    BOOST_REQUIRE(std::getline(file, line));
    BOOST_TEST(line.find("\"two\"") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_event_is_seen_before_it_is_promised) {
    const TemporaryFolder folder;
    auto log = EventLog::open(folder.path() + "/audit.log", 0);
    BOOST_REQUIRE(log.ok());
    const auto line = (*log)->draw_up({.event = "granted"});
    BOOST_TEST((*log)->after(0, 100).empty());
    BOOST_TEST((*log)->last() == 0u);
    (*log)->keep({line});
    BOOST_TEST((*log)->last() == line.id);
}

BOOST_AUTO_TEST_SUITE_END()
