#define BOOST_TEST_DYN_LINK
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <thread>
#include <vector>

#include "fusefs/engine/gate.h"

namespace drivebay {

BOOST_AUTO_TEST_SUITE(gate)

BOOST_AUTO_TEST_CASE(a_closed_gate_lets_in) {
    Gate gate;
    BOOST_TEST(gate.enter());
    gate.leave();
    int drained = 0;
    gate.close([&] { ++drained; });
    BOOST_TEST(drained == 1);
    BOOST_TEST(!gate.enter());
    BOOST_TEST(!gate.enter());
    BOOST_TEST(drained == 1);
    BOOST_TEST(gate.inside() == 0u);
}

BOOST_AUTO_TEST_CASE(a_gate_is_drained_while_something_is_inside) {
    Gate gate;
    BOOST_TEST(gate.enter());
    BOOST_TEST(gate.enter());
    bool drained = false;
    gate.close([&] { drained = true; });
    BOOST_TEST(!drained);
    BOOST_TEST(!gate.enter());
    gate.leave();
    BOOST_TEST(!drained);
    gate.leave();
    BOOST_TEST(drained);
}

// Several loops against one closer, many times over: whatever got in must be out when the drain is reported, and nothing
// gets in after it.
BOOST_AUTO_TEST_CASE(an_enter_that_meets_a_close_is_forgotten) {
    constexpr int rounds = 500;
    constexpr int threads = 3;
    for (int round = 0; round < rounds; ++round) {
        Gate gate;
        std::atomic<int> at_drive{0};
        std::atomic<bool> go{false};
        std::atomic<bool> reported{false};
        std::atomic<int> violations{0};
        std::vector<std::thread> loops;
        for (int i = 0; i < threads; ++i) {
            loops.emplace_back([&] {
                while (!go) {
                }
                while (gate.enter()) {
                    ++at_drive;
                    violations += reported ? 1 : 0;
                    --at_drive;
                    gate.leave();
                }
            });
        }
        go = true;
        gate.close([&] {
            violations += at_drive.load() != 0 ? 1 : 0;
            reported = true;
        });
        for (std::thread& loop : loops) {
            loop.join();
        }
        BOOST_REQUIRE(reported.load());
        BOOST_REQUIRE_EQUAL(violations.load(), 0);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
