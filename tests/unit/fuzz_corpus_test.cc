// What the fuzzers once found interesting, fed to the same entries without a fuzzer (tests/fuzz/). Runs in the
// repository's folder, as the tests' runner does.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {
namespace {

void feed_corpus(const std::string& name, void (*entry)(Bytes)) {
    const std::filesystem::path folder = "tests/fuzz/corpus/" + name;
    BOOST_REQUIRE_MESSAGE(std::filesystem::is_directory(folder),
                          folder << " is not there: run in the repository's folder");
    std::size_t count = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
        std::ifstream stream(file.path(), std::ios::binary);
        const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
        BOOST_TEST_CONTEXT(file.path()) {
            BOOST_CHECK_NO_THROW(entry({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
        }
        ++count;
    }
    BOOST_TEST(count >= 10u);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fuzz_corpus)

BOOST_AUTO_TEST_CASE(a_negotiation_that_was_found_once_breaks_the_handshake) {
    feed_corpus("handshake", handshake);
}
BOOST_AUTO_TEST_CASE(requests_that_were_found_once_break_the_connection) {
    feed_corpus("transmission", transmission);
}
BOOST_AUTO_TEST_CASE(a_name_or_an_offset_that_was_found_once_is_taken) {
    feed_corpus("names", names);
}
BOOST_AUTO_TEST_CASE(a_message_that_was_found_once_breaks_the_control_plane) {
    feed_corpus("control", control);
}
BOOST_AUTO_TEST_CASE(a_request_that_was_found_once_breaks_the_arbiter) {
    feed_corpus("requests", requests);
}
BOOST_AUTO_TEST_CASE(a_row_that_was_found_once_breaks_the_lease_core) {
    feed_corpus("rows", rows);
}
BOOST_AUTO_TEST_CASE(a_report_that_was_found_once_spoils_the_store) {
    feed_corpus("reports", reports);
}
BOOST_AUTO_TEST_CASE(a_file_that_was_found_once_changes_what_is_in_force) {
    feed_corpus("configuration", configuration);
}
BOOST_AUTO_TEST_CASE(a_word_or_a_certificate_that_was_found_once_lets_somebody_in) {
    feed_corpus("enrolment", enrolment);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::fuzz
