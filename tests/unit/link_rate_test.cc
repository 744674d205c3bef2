#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_client/link_rate.h"

#include <boost/test/unit_test.hpp>

namespace drivebay {

namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t piece = 16 << 10;
const Instant start{milliseconds(1000000)};

// A piece each `pace`, which takes `work` of it, for so long.
void move(LinkRate& link, Duration pace, Duration work, Duration time, Instant begin = start) {
    for (Instant now = begin; now < begin + time; now += pace) {
        link.begun(now);
        link.done(piece, now + work);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(link_rate)

BOOST_AUTO_TEST_CASE(rest_is_taken_for_slowness) {
    LinkRate link;
    move(link, milliseconds(100), milliseconds(1), std::chrono::seconds(60));
    BOOST_TEST(link.bytes_a_second() > 15u << 20);
}

BOOST_AUTO_TEST_CASE(a_link_that_became_slow_is_believed_too_late) {
    LinkRate link;
    move(link, milliseconds(1), milliseconds(1), std::chrono::seconds(2));
    BOOST_TEST(link.bytes_a_second() > 10u << 20);
    link.begun(start + std::chrono::seconds(2));
    link.done(piece, start + std::chrono::seconds(3));
    BOOST_TEST(link.bytes_a_second() <= piece);
}

BOOST_AUTO_TEST_CASE(an_outage_makes_a_link_slow) {
    LinkRate link;
    move(link, milliseconds(1), milliseconds(1), std::chrono::seconds(2));
    const std::uint64_t before = link.bytes_a_second();
    link.begun(start + std::chrono::seconds(2));
    link.interrupted(start + std::chrono::seconds(10));
    link.done(0, start + std::chrono::seconds(10));
    BOOST_TEST(link.bytes_a_second() == before);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
