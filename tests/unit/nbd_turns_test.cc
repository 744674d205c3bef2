// How NBD clients share the loop and the memory.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/nbd_server/loop_turns.h"
#include "fusefs/nbd_server/memory_budget.h"

namespace drivebay::nbd {
namespace {

// Always has more to send, until it has sent `total`.
struct Talker final : LoopTurns::Member {
    Talker(LoopTurns& whose, const void* of, std::size_t bytes) : turns(whose), group(of), total(bytes) { turns.ask(*this, group); }
    std::size_t take_turn(std::size_t most) override {
        const std::size_t moved = std::min(most, total - sent);
        sent += moved;
        if (sent < total) {
            turns.ask(*this, group);
        } else if (finished) {
            finished();
        }
        return moved;
    }
    LoopTurns& turns;
    const void* group;
    const std::size_t total;
    std::size_t sent = 0;
    std::function<void()> finished;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_turns)

BOOST_AUTO_TEST_CASE(a_blade_with_many_connections_has_the_loop_to_itself) {
    EventLoop loop;
    LoopTurns turns(loop);
    const int flooders = 0;
    const int modest = 0;
    std::vector<std::unique_ptr<Talker>> flood;
    for (int i = 0; i < 40; ++i) {
        flood.push_back(std::make_unique<Talker>(turns, &flooders, std::size_t{1} << 40));
    }
    Talker one(turns, &modest, 64 * Poller::share);
    bool looked = false;
    std::size_t sent_when_looked = 0;
    loop.post([&] {
        looked = true;
        sent_when_looked = one.sent;
    });
    one.finished = [&] { loop.stop(); };
    loop.run();
    std::size_t flooded = 0;
    std::size_t least = SIZE_MAX;
    for (const auto& talker : flood) {
        flooded += talker->sent;
        least = std::min(least, talker->sent);
        turns.forget(*talker);
    }
    BOOST_TEST(flooded >= 63 * Poller::share);
    BOOST_TEST(flooded <= 65 * Poller::share);
    BOOST_TEST(least >= Poller::share, "within a blade, too, each connection has its turn");
    BOOST_TEST(looked);
    BOOST_TEST(sent_when_looked <= 2 * Poller::share, "descriptors wait while clients are busy");
}

BOOST_AUTO_TEST_CASE(one_that_is_gone_has_a_turn_or_takes_others_turns_with_it) {
    EventLoop loop;
    LoopTurns turns(loop);
    const int blade = 0;
    for (const std::size_t gone : {0u, 1u, 2u}) {
        std::vector<std::unique_ptr<Talker>> talkers;
        for (int i = 0; i < 3; ++i) {
            talkers.push_back(std::make_unique<Talker>(turns, &blade, 100));
        }
        turns.forget(*talkers[gone]);
        loop.at_round_end([&] { loop.at_round_end([&] { loop.stop(); }); });
        loop.run();
        for (std::size_t i = 0; i < 3; ++i) {
            BOOST_TEST(talkers[i]->sent == (i == gone ? 0u : 100u));
        }
        Talker later(turns, &blade, 100);
        later.finished = [&] { loop.stop(); };
        loop.run();
        BOOST_TEST(later.sent == 100u);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(nbd_memory_budget)

BOOST_AUTO_TEST_CASE(all_are_woken_for_what_suffices_for_one_or_the_last_comes_first) {
    MemoryBudget budget(100);
    std::map<std::uint64_t, std::shared_ptr<MemoryBudget::Part>> parts;
    std::vector<std::uint64_t> woken;
    const auto ask = [&](std::uint64_t who, std::size_t bytes) {
        std::shared_ptr<MemoryBudget::Part>& part = parts[who];
        part = budget.part_of(&part);
        return budget.take(bytes, *part, who, [&woken, &budget, &part, who, bytes] {
            woken.push_back(who);
            BOOST_TEST(budget.take(bytes, *part, who, [] {}));
        });
    };
    for (const std::uint64_t who : {1, 2, 3, 4}) {
        BOOST_TEST(ask(who, 25));
    }
    BOOST_TEST(!ask(5, 50));
    BOOST_TEST(!ask(6, 10));
    BOOST_TEST(!ask(7, 10));
    budget.give_back(25, *parts[1]);
    BOOST_TEST(woken.empty(), "one that asks for little overtakes");
    BOOST_TEST(!ask(8, 10));
    budget.forget(8);
    budget.give_back(25, *parts[2]);
    BOOST_TEST(woken == std::vector<std::uint64_t>{5});
    budget.give_back(25, *parts[3]);
    BOOST_TEST((woken == std::vector<std::uint64_t>{5, 6, 7}));
}

BOOST_AUTO_TEST_CASE(one_blade_takes_all_the_memory_or_keeps_others_waiting_for_its_own) {
    MemoryBudget budget(100);
    const int greedy = 0;
    const int modest = 0;
    const auto part = budget.part_of(&greedy);
    BOOST_TEST((budget.part_of(&greedy) == part));
    int woken = 0;
    BOOST_TEST(budget.take(40, *part, 1, [] {}), "the first of a blade has what it asks for");
    BOOST_TEST(!budget.take(1, *part, 2, [&] { ++woken; }));
    const auto other = budget.part_of(&modest);
    BOOST_TEST(budget.take(20, *other, 3, [] {}));
    BOOST_TEST(budget.take(5, *other, 3, [] {}));
    budget.give_back(20, *other);
    BOOST_TEST(woken == 0);
    budget.give_back(40, *part);
    BOOST_TEST(woken == 1);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay::nbd
