#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "fusefs/nbd_server/instance_barrier.h"

namespace drivebay::nbd {
namespace {

using Decision = InstanceBarrier::Decision;
using Connections = std::vector<InstanceBarrier::Connection>;

struct Arrival {
    Decision decision;
    Connections shut;
    Connections dropped;
};

Arrival arrive(InstanceBarrier& barrier, InstanceBarrier::Connection connection, std::uint64_t instance) {
    Arrival arrival{};
    arrival.decision = barrier.arrive(connection, instance, arrival.shut, arrival.dropped);
    return arrival;
}

Connections leave(InstanceBarrier& barrier, InstanceBarrier::Connection connection) {
    Connections entering;
    barrier.left(connection, entering);
    return entering;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(instance_barrier)

BOOST_AUTO_TEST_CASE(connections_of_one_instance_shut_each_other) {
    InstanceBarrier barrier;
    BOOST_TEST((arrive(barrier, 1, 5).decision == Decision::enter));
    const Arrival second = arrive(barrier, 2, 5);
    BOOST_TEST((second.decision == Decision::enter));
    BOOST_TEST(second.shut.empty());
}

BOOST_AUTO_TEST_CASE(a_higher_instance_is_answered_before_the_lower_ones_io_is_complete) {
    InstanceBarrier barrier;
    arrive(barrier, 1, 5);
    arrive(barrier, 2, 5);
    const Arrival next = arrive(barrier, 3, 6);
    BOOST_TEST((next.decision == Decision::wait));
    BOOST_TEST((next.shut == Connections{1, 2}));
    BOOST_TEST((arrive(barrier, 4, 6).decision == Decision::wait));
    BOOST_TEST(leave(barrier, 1).empty());
    BOOST_TEST((leave(barrier, 2) == Connections{3, 4}));
    BOOST_TEST((arrive(barrier, 5, 6).decision == Decision::enter));
}

BOOST_AUTO_TEST_CASE(a_lower_instance_comes_back) {
    InstanceBarrier barrier;
    arrive(barrier, 1, 5);
    leave(barrier, 1);
    arrive(barrier, 2, 6);
    leave(barrier, 2);
    BOOST_TEST((arrive(barrier, 3, 5).decision == Decision::refuse));
    BOOST_TEST((arrive(barrier, 4, 6).decision == Decision::enter));
}

BOOST_AUTO_TEST_CASE(one_that_waited_enters_although_a_higher_one_came) {
    InstanceBarrier barrier;
    arrive(barrier, 1, 5);
    arrive(barrier, 2, 6);
    const Arrival third = arrive(barrier, 3, 7);
    BOOST_TEST((third.decision == Decision::wait));
    BOOST_TEST((third.dropped == Connections{2}));
    BOOST_TEST(third.shut.empty());  // 1 was shut before
    BOOST_TEST(leave(barrier, 2).empty());
    BOOST_TEST((leave(barrier, 1) == Connections{3}));
}

BOOST_AUTO_TEST_CASE(one_that_gave_up_waiting_is_let_in) {
    InstanceBarrier barrier;
    arrive(barrier, 1, 5);
    arrive(barrier, 2, 6);
    arrive(barrier, 3, 6);
    BOOST_TEST(leave(barrier, 2).empty());
    BOOST_TEST((leave(barrier, 1) == Connections{3}));
}

// Never are two instances inside together, and whoever may enter does as soon as it may.
BOOST_AUTO_TEST_CASE(at_random_two_instances_are_inside_together_or_one_waits_for_ever) {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            std::mt19937 random(seed);
            InstanceBarrier barrier;
            std::map<InstanceBarrier::Connection, std::uint64_t> inside;
            std::map<InstanceBarrier::Connection, std::uint64_t> waiting;
            std::set<InstanceBarrier::Connection> shut;
            std::uint64_t top = 0;
            const auto check = [&] {
                std::set<std::uint64_t> open;
                for (const auto& [connection, instance] : inside) {
                    if (!shut.contains(connection)) {
                        open.insert(instance);
                        BOOST_REQUIRE(instance == top);
                    }
                }
                BOOST_REQUIRE(open.size() <= 1);
                BOOST_REQUIRE(waiting.empty() || !shut.empty());
            };
            for (InstanceBarrier::Connection next = 1; next < 200; ++next) {
                if (random() % 2 == 0) {
                    const std::uint64_t instance = 1 + random() % (next / 10 + 1);
                    const Arrival arrival = arrive(barrier, next, instance);
                    BOOST_REQUIRE((arrival.decision == Decision::refuse) == (instance < top));
                    top = std::max(top, instance);
                    shut.insert(arrival.shut.begin(), arrival.shut.end());
                    for (const auto dropped : arrival.dropped) {
                        waiting.erase(dropped);
                    }
                    if (arrival.decision == Decision::enter) {
                        inside[next] = instance;
                        BOOST_REQUIRE(shut.empty());
                    } else if (arrival.decision == Decision::wait) {
                        waiting[next] = instance;
                    }
                } else if (!inside.empty()) {
                    const auto gone = std::next(inside.begin(), static_cast<std::ptrdiff_t>(random() % inside.size()));
                    const auto connection = gone->first;
                    inside.erase(gone);
                    shut.erase(connection);
                    for (const auto entering : leave(barrier, connection)) {
                        BOOST_REQUIRE(shut.empty());
                        inside[entering] = waiting.at(entering);
                        waiting.erase(entering);
                    }
                }
                check();
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
