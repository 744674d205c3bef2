#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <optional>
#include <vector>

#include "lib/base/denials.h"
#include "lib/base/log.h"
#include "lib/base/shortened.h"

namespace drivebay {
namespace {

struct Told {
    Told() { log::set_level(log::Level::error); }
    ~Told() { log::set_level(log::Level::info); }
    std::vector<Denial> told;
    Denials denials{[this](const Denial& denial) { told.push_back(denial); }};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(denials)

BOOST_FIXTURE_TEST_CASE(a_strangers_words_are_told_at_any_length, Told) {
    const std::string long_text(4 << 20, 'x');
    denials.note({long_text, long_text, long_text, long_text});
    BOOST_REQUIRE_EQUAL(told.size(), 1u);
    const Denial& one = told[0];
    BOOST_TEST(one.peer.size() + one.identity.size() + one.asked.size() + one.reason.size() <= 1100u);
    // Two that differ only in what is cut away are one kind.
    for (int i = 0; i < 100; ++i) {
        denials.note({"", "", "", long_text + std::to_string(i)});
    }
    BOOST_TEST(told.size() <= 21u);
}

BOOST_FIXTURE_TEST_CASE(the_end_of_a_flood_is_never_told, Told) {
    std::optional<Duration> timer;
    denials.use_timer([&timer](Duration after) { timer = after; });
    for (int i = 0; i < 20; ++i) {
        denials.note({"10.0.0.7:1", "", "a", "no"});
    }
    BOOST_TEST(!timer.has_value());
    for (int i = 0; i < 7; ++i) {
        denials.note({"10.0.0.7:1", "", "a", "no"});
    }
    BOOST_TEST(told.size() == 20u);
    BOOST_REQUIRE(timer.has_value());
    BOOST_TEST((*timer > Duration::zero() && *timer <= std::chrono::seconds(10)));
    denials.tell_rest();
    BOOST_REQUIRE_EQUAL(told.size(), 21u);
    BOOST_TEST(told.back().peer == "10.0.0.7:1");
    BOOST_TEST(told.back().reason == "no; 6 more were denied before, too fast to be told");
    // Once, and not where the next one has told it.
    denials.tell_rest();
    denials.note({"10.0.0.7:1", "", "a", "no"});
    denials.note({"10.0.0.7:1", "", "a", "new"});
    denials.tell_rest();
    BOOST_TEST(told.size() == 22u);
}

BOOST_AUTO_TEST_CASE(a_cut_text_ends_in_half_a_character) {
    BOOST_TEST(shortened("abcdef", 6) == "abcdef");
    BOOST_TEST(shortened("abcdefg", 6) == "abc…");
    BOOST_TEST(shortened("abéfgh", 6) == "ab…");
    BOOST_TEST(shortened("\x80\x80\x80\x80\x80\x80\x80", 6) == "…");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay
