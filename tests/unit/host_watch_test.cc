#define BOOST_TEST_DYN_LINK
#include "gadgetd/host_watch.h"

#include <boost/test/unit_test.hpp>
#include <vector>

using namespace drivebay::gadgetd;

namespace {

int resets(const std::vector<std::string>& announced) {
    HostStates states;
    int count = 0;
    for (const std::string& state : announced) {
        count += states.is_reset(state) ? 1 : 0;
    }
    return count;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(host_watch)

BOOST_AUTO_TEST_CASE(a_first_enumeration_is_taken_for_a_reset) {
    BOOST_CHECK_EQUAL(resets({"not attached", "powered", "default", "addressed", "configured"}), 0);
    BOOST_CHECK_EQUAL(resets({"not attached", "configured"}), 0);
    BOOST_CHECK_EQUAL(resets({"default", "default", "configured"}), 0);
    BOOST_CHECK_EQUAL(resets({"configured"}), 0);
}

BOOST_AUTO_TEST_CASE(a_reset_goes_unnoticed_or_counts_twice) {
    BOOST_CHECK_EQUAL(resets({"configured", "default", "addressed", "configured"}), 1);
    BOOST_CHECK_EQUAL(resets({"configured", "default"}), 1);
    BOOST_CHECK_EQUAL(resets({"configured", "not attached", "configured"}), 1);
    BOOST_CHECK_EQUAL(resets({"configured", "default", "configured", "default", "configured"}), 2);
}

BOOST_AUTO_TEST_CASE(a_reset_whose_states_were_never_seen_goes_unnoticed) {
    BOOST_CHECK_EQUAL(resets({"configured", "configured"}), 1);
    BOOST_CHECK_EQUAL(resets({"configured", "addressed", "configured", "configured"}), 2);
}

BOOST_AUTO_TEST_CASE(a_host_that_sleeps_and_wakes_is_taken_for_a_reset) {
    BOOST_CHECK_EQUAL(resets({"configured", "suspended", "configured"}), 0);
    BOOST_CHECK_EQUAL(resets({"configured", "suspended", "suspended", "configured"}), 0);
    BOOST_CHECK_EQUAL(resets({"configured", "suspended", "default", "configured"}), 1);
    BOOST_CHECK_EQUAL(resets({"default", "suspended", "configured"}), 0);
}

BOOST_AUTO_TEST_SUITE_END()
