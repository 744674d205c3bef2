#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "lib/base/base64.h"

namespace drivebay {
BOOST_AUTO_TEST_SUITE(base64)

// RFC 4648, section 10
BOOST_AUTO_TEST_CASE(bytes_change_on_their_way_through_json) {
    const std::pair<std::string, std::string> known[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
    for (const auto& [bytes, text] : known) {
        BOOST_TEST(to_base64(bytes) == text);
        BOOST_REQUIRE(from_base64(text).has_value());
        BOOST_TEST(*from_base64(text) == bytes);
    }
    std::string all;
    for (int i = 0; i < 256; ++i) {
        all += static_cast<char>(i);
        BOOST_TEST(*from_base64(to_base64(all)) == all);
    }
    BOOST_TEST(to_base64(all.substr(0, 99)) + to_base64(all.substr(99)) == to_base64(all));
}

BOOST_AUTO_TEST_CASE(what_is_no_base64_becomes_bytes) {
    for (const char* const text :
         {"A", "AA", "AAA", "AAAAA", "AA=A", "A===", "====", "AA==AAAA", "AA A", "AA\n=", "AA-_"}) {
        BOOST_TEST(!from_base64(text).has_value(), text);
    }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay
