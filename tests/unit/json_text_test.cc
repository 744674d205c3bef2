#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "lib/base/json_text.h"

namespace drivebay {
namespace {

std::string nested(int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

BOOST_AUTO_TEST_SUITE(json_text)

BOOST_AUTO_TEST_CASE(what_is_no_json_is_taken_for_an_object) {
    for (const char* text : {"", "{", "{\"a\":1}}", "{\"a\":\"\xff\"}", "nul"}) {
        BOOST_TEST(parse_json(text).is_discarded(), text);
    }
    BOOST_TEST(parse_json(R"({"a":[1]})").is_object());
}

BOOST_AUTO_TEST_CASE(four_million_brackets_are_kept) {
    BOOST_TEST(parse_json(nested(deepest_json)).is_array());
    BOOST_TEST(parse_json(nested(deepest_json + 1)).is_discarded());
    BOOST_TEST(parse_json(nested(2 << 20)).is_discarded());
    // Side by side, and in a text, they are not deep.
    BOOST_TEST(parse_json(R"([[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]])").is_array());
    BOOST_TEST(parse_json("\"\\\"" + std::string(100, '[') + "\"").is_string());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
