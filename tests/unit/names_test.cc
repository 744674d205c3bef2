#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "lib/base/log.h"
#include "lib/base/names.h"
#include "lib/protocol/types.h"

namespace drivebay {
BOOST_AUTO_TEST_SUITE(names)

BOOST_AUTO_TEST_CASE(a_name_that_could_leave_its_folder_or_export_is_refused) {
    for (const char* name : {"install", "a", "disk-1", "v1.2", "_x", "0"}) {
        BOOST_TEST(check_name("drive", name).ok(), name);
    }
    for (const std::string name : {"", ".", "..", ".hidden", "-x", "a/b", "a b", "a@1", "a#1", "a\nb", "all",
                                   "\xc3\xa9", "a%2f", "@local"}) {
        BOOST_TEST(!check_name("drive", name).ok(), name);
    }
    BOOST_TEST(check_name("drive", std::string(max_name_length, 'x')).ok());
    BOOST_TEST(!check_name("drive", std::string(max_name_length + 1, 'x')).ok());
}

BOOST_AUTO_TEST_CASE(a_reference_that_is_read_loosely_would_reach_another_epoch) {
    const auto full = parse_drive_reference("install@7#3");
    BOOST_REQUIRE(full);
    BOOST_TEST(full->drive == "install");
    BOOST_TEST(full->epoch == 7U);
    BOOST_TEST(full->instance == 3U);
    BOOST_TEST(parse_drive_reference("install")->epoch == 0U);
    for (const char* text : {"", "@7", "x@", "x@0", "x@-1", "x@+1", "x@ 1", "x@1#", "x@1#0", "x@1#2#3", "x@1@2",
                             "x@18446744073709551616", "x@0x7"}) {
        BOOST_TEST(!parse_drive_reference(text), text);
    }
}

BOOST_AUTO_TEST_CASE(a_name_with_a_newline_cannot_forge_a_log_line) {
    BOOST_TEST(log::quoted("plain-1.img") == "plain-1.img");
    BOOST_TEST(log::quoted("") == "\"\"");
    BOOST_TEST(log::quoted("a\nmsg=\"x\"") == "\"a\\x0amsg=\\\"x\\\"\"");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay
