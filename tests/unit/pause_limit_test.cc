#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_client/pause_limit.h"

#include <boost/test/unit_test.hpp>

namespace drivebay {

using std::chrono::milliseconds;

BOOST_AUTO_TEST_SUITE(pause_limit)

BOOST_AUTO_TEST_CASE(silence_is_not_limited) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    BOOST_TEST(!pause.over_at().has_value());
    pause.waiting(start);
    BOOST_TEST(!pause.stalled(start + milliseconds(499)));
    BOOST_TEST(pause.stalled(start + milliseconds(500)));
    BOOST_TEST(!pause.over(start + milliseconds(7999)));
    BOOST_TEST(pause.over(start + milliseconds(8000)));
}

BOOST_AUTO_TEST_CASE(a_later_request_begins_the_count_anew) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    pause.waiting(start + milliseconds(5000));
    BOOST_TEST(pause.over(start + milliseconds(8000)));
}

BOOST_AUTO_TEST_CASE(two_stalls_in_one_command_are_counted_apart) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    pause.heard(start + milliseconds(5000), false);
    pause.waiting(start + milliseconds(5100));  // the next piece of the same command
    BOOST_TEST(!pause.over(start + milliseconds(7999)));
    BOOST_TEST(pause.over(start + milliseconds(8000)));
}

BOOST_AUTO_TEST_CASE(a_stall_after_a_quiet_second_belongs_to_the_pause_before) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    pause.heard(start + milliseconds(5000), false);
    pause.waiting(start + milliseconds(6000));
    BOOST_TEST(!pause.over(start + milliseconds(13999)));
    BOOST_TEST(pause.over(start + milliseconds(14000)));
}

BOOST_AUTO_TEST_CASE(a_slow_but_living_connection_goes_offline) {
    PauseLimit pause(milliseconds(8000));
    Instant now{milliseconds(1000000)};
    pause.waiting(now);
    for (int i = 0; i < 100; ++i) {
        now += milliseconds(400);
        BOOST_TEST(!pause.over(now));
        pause.heard(now, true);
    }
    BOOST_TEST(!pause.stalled(now + milliseconds(100)));
}

BOOST_AUTO_TEST_CASE(a_stall_past_an_exhausted_pause_gets_another_eight_seconds) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    pause.heard(start + milliseconds(7900), true);
    // Heard once in between, and silent again: the host has waited all the time.
    BOOST_TEST(!pause.over(start + milliseconds(8300)));
    BOOST_TEST(pause.over(start + milliseconds(8400)));
}

BOOST_AUTO_TEST_CASE(a_pause_begins_anew_with_each_server) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    pause.waiting_since(start - milliseconds(5000), start);  // of a server before this one
    BOOST_TEST(!pause.over(start + milliseconds(2999)));
    BOOST_TEST(pause.over(start + milliseconds(3000)));
    pause.heard(start + milliseconds(1000), true);
    BOOST_TEST(pause.over(start + milliseconds(3000)));
}

BOOST_AUTO_TEST_CASE(who_has_waited_too_long_already_is_not_given_a_moment) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting_since(start - milliseconds(9000), start);
    BOOST_TEST(!pause.over(start + milliseconds(499)));
    BOOST_TEST(pause.over(start + milliseconds(500)));
}

BOOST_AUTO_TEST_CASE(short_waits_in_quick_succession_are_one_pause) {
    PauseLimit pause(milliseconds(8000));
    Instant now{milliseconds(1000000)};
    for (int i = 0; i < 100; ++i) {
        pause.waiting_since(now - milliseconds(400), now);
        BOOST_TEST(!pause.over(now));
        now += milliseconds(300);
        pause.heard(now, false);
    }
    pause.waiting(now);
    BOOST_TEST(!pause.over(now + milliseconds(7999)));
}

BOOST_AUTO_TEST_CASE(who_comes_after_an_outage_is_part_of_it) {
    PauseLimit pause(milliseconds(8000));
    const Instant start{milliseconds(1000000)};
    pause.waiting(start);
    BOOST_TEST(pause.over(start + milliseconds(8000)));
    pause.heard(start + milliseconds(8000), false);
    pause.given_up();
    BOOST_TEST(!pause.over_at().has_value());
    pause.waiting(start + milliseconds(8300));
    BOOST_TEST(!pause.over(start + milliseconds(16299)));
    BOOST_TEST(pause.over(start + milliseconds(16300)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
