#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "lib/base/strangers.h"

namespace drivebay {

BOOST_AUTO_TEST_SUITE(strangers)

using namespace std::chrono_literals;
constexpr Instant begin{1h};

bool has_place(Strangers& strangers, Strangers::Id id, const std::string& address, Instant now = begin) {
    return strangers.add(id, address, now).given;
}

std::optional<Strangers::Id> place_of(Strangers& strangers, Strangers::Id id, const std::string& address, Instant now = begin) {
    return strangers.add(id, address, now).of;
}

BOOST_AUTO_TEST_CASE(there_are_more_than_there_may_be) {
    Strangers strangers("callers", 3, 2);
    BOOST_TEST(!place_of(strangers, 1, "10.0.0.1:1"));
    BOOST_TEST(!place_of(strangers, 2, "10.0.0.1:2"));
    // Of that address the oldest, though there is room among all.
    BOOST_TEST((place_of(strangers, 3, "10.0.0.1:3") == Strangers::Id{1}));
    BOOST_TEST(!place_of(strangers, 4, "[fe80::1]:4"));
    // Of all the oldest.
    BOOST_TEST((place_of(strangers, 5, "10.0.0.2:5") == Strangers::Id{2}));
    BOOST_TEST((place_of(strangers, 6, "10.0.0.2:6", begin + 1s) == Strangers::Id{3}));
}

BOOST_AUTO_TEST_CASE(one_who_has_proved_who_he_is_goes_for_others) {
    Strangers strangers("callers", 2, 2);
    strangers.add(1, "10.0.0.1:1", begin);
    strangers.add(2, "10.0.0.2:2", begin);
    strangers.proved(1);
    strangers.remove(1);
    BOOST_TEST(!place_of(strangers, 3, "10.0.0.1:3"));
    BOOST_TEST((place_of(strangers, 4, "10.0.0.3:4") == Strangers::Id{2}));
}

// So many handshakes that come to nothing as there are places, then forty a second.
BOOST_AUTO_TEST_CASE(half_handshakes_cost_as_much_as_a_flood_likes) {
    Strangers strangers("callers", 4, 4);
    for (Strangers::Id id = 1; id <= 4; ++id) {
        strangers.add(id, "10.0.0." + std::to_string(id) + ":1", begin);
        BOOST_TEST(strangers.may_begin(id, begin));
    }
    for (Strangers::Id id = 5; id <= 8; ++id) {
        strangers.add(id, "10.0.0." + std::to_string(id) + ":1", begin);
        BOOST_TEST(!strangers.may_begin(id, begin));
    }
    BOOST_TEST(strangers.anybody_waits());
    BOOST_TEST(!strangers.next(begin + 24ms));
    // The newest of those who wait.
    BOOST_TEST((strangers.next(begin + 26ms) == Strangers::Id{8}));
    BOOST_TEST(!strangers.next(begin + 26ms));
    // One that has gone gets no turn.
    strangers.remove(7);
    BOOST_TEST((strangers.next(begin + 77ms) == Strangers::Id{6}));
    BOOST_TEST((strangers.next(begin + 77ms) == Strangers::Id{5}));
    BOOST_TEST(!strangers.next(begin + 1h));
    BOOST_TEST(!strangers.anybody_waits());
}

BOOST_AUTO_TEST_CASE(many_that_prove_who_they_are_wait_for_each_other) {
    Strangers strangers("callers", 4, 4);
    for (Strangers::Id id = 1; id <= 10000; ++id) {
        strangers.add(id, "10.0." + std::to_string(id / 250) + "." + std::to_string(id % 250) + ":1", begin);
        BOOST_REQUIRE(strangers.may_begin(id, begin));
        strangers.proved(id);
    }
}

BOOST_AUTO_TEST_CASE(a_flood_stops_those_who_proved_themselves_before) {
    Strangers strangers("callers", 64, 64);
    strangers.add(1, "10.0.0.1:1", begin);
    BOOST_TEST(strangers.may_begin(1, begin));
    strangers.proved(1);
    for (Strangers::Id id = 2; id <= 100; ++id) {
        strangers.add(id, "10.0.0.2:1", begin);
        strangers.may_begin(id, begin);
    }
    for (Strangers::Id id = 101; id <= 116; ++id) {
        strangers.add(id, "10.0.0.1:1", begin);
        BOOST_TEST(strangers.may_begin(id, begin));
    }
    // What comes to nothing from there is counted, too; a proof counts for none there either.
    strangers.add(117, "10.0.0.1:1", begin);
    BOOST_TEST(!strangers.may_begin(117, begin));
    strangers.proved(116);
    strangers.add(118, "10.0.0.1:1", begin);
    BOOST_TEST(strangers.may_begin(118, begin));
    strangers.add(119, "10.0.0.1:1", begin);
    BOOST_TEST(!strangers.may_begin(119, begin));
    strangers.add(120, "10.0.0.1:1", begin);
    BOOST_TEST(strangers.may_begin(120, begin + 1s));
}

// As many as have room at one address, then five hundred a second; but who proved himself there before has room at once.
BOOST_AUTO_TEST_CASE(places_change_hands_as_often_as_a_flood_likes) {
    Strangers strangers("callers", 8, 2);
    strangers.add(1, "10.0.1.1:1", begin);
    strangers.proved(1);
    for (Strangers::Id id = 2; id <= 11; ++id) {
        BOOST_TEST(has_place(strangers, id, "10.0.0." + std::to_string(id) + ":1"));
    }
    BOOST_TEST(!has_place(strangers, 12, "10.0.0.12:1"));
    BOOST_TEST((place_of(strangers, 13, "10.0.1.1:1") == Strangers::Id{4}));
    BOOST_TEST(!has_place(strangers, 14, "10.0.0.14:1", begin + 1ms));
    BOOST_TEST(has_place(strangers, 15, "10.0.0.14:1", begin + 2ms));
    // Who has none is none of them.
    BOOST_TEST(!strangers.may_begin(14, begin));
    BOOST_TEST(!strangers.anybody_waits());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
