#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <deque>
#include <random>
#include <vector>

#include "fusefs/engine/range_lock.h"

namespace drivebay {
namespace {

using Entry = RangeLock::Entry;

Entry shared(std::uint64_t begin, std::uint64_t end) { return {begin, end, false, nullptr, nullptr, nullptr}; }
Entry exclusive(std::uint64_t begin, std::uint64_t end) { return {begin, end, true, nullptr, nullptr, nullptr}; }

bool overlap(const Entry& one, const Entry& other) { return one.begin < other.end && other.begin < one.end; }

}  // namespace

BOOST_AUTO_TEST_SUITE(range_lock)

BOOST_AUTO_TEST_CASE(plain_writes_wait_for_each_other) {
    RangeLock lock;
    Entry one = shared(0, 100);
    Entry two = shared(50, 150);
    std::vector<Entry*> now;
    BOOST_TEST(lock.enter(one));
    BOOST_TEST(lock.enter(two));
    lock.leave(one, now);
    lock.leave(two, now);
    BOOST_TEST(now.empty());
    BOOST_TEST(lock.idle());
}

BOOST_AUTO_TEST_CASE(a_read_change_write_overlaps_a_write_in_flight) {
    RangeLock lock;
    Entry write = shared(0, 512);
    Entry change = exclusive(0, 512);
    Entry elsewhere = exclusive(512, 1024);
    Entry behind = shared(100, 200);
    std::vector<Entry*> now;
    BOOST_TEST(lock.enter(write));
    BOOST_TEST(!lock.enter(change));
    BOOST_TEST(lock.enter(elsewhere));
    BOOST_TEST(!lock.enter(behind));  // or a stream of plain writes would keep the other out for ever
    lock.leave(write, now);
    BOOST_TEST(now == std::vector<Entry*>{&change}, boost::test_tools::per_element());
    now.clear();
    lock.leave(change, now);
    BOOST_TEST(now == std::vector<Entry*>{&behind}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(at_random_two_that_exclude_each_other_are_held_together_or_one_waits_for_ever) {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            std::mt19937 random(seed);
            RangeLock lock;
            std::deque<Entry> entries;
            std::vector<Entry*> held;
            std::size_t waiting = 0;
            const auto check = [&] {
                for (const Entry* one : held) {
                    for (const Entry* other : held) {
                        BOOST_REQUIRE(one == other || !(one->exclusive || other->exclusive) || !overlap(*one, *other));
                    }
                }
            };
            const auto leave = [&] {
                const std::size_t index = random() % held.size();
                Entry* const gone = held[index];
                held.erase(held.begin() + static_cast<std::ptrdiff_t>(index));
                const std::size_t before = held.size();
                lock.leave(*gone, held);
                waiting -= held.size() - before;
                check();
            };
            for (int i = 0; i < 200; ++i) {
                if (!held.empty() && random() % 2 == 0) {
                    leave();
                }
                const std::uint64_t begin = random() % 50;
                entries.push_back({begin, begin + 1 + random() % 20, random() % 3 == 0, nullptr, nullptr, nullptr});
                if (lock.enter(entries.back())) {
                    held.push_back(&entries.back());
                } else {
                    ++waiting;
                }
                check();
            }
            while (!held.empty()) {
                leave();
            }
            BOOST_REQUIRE_EQUAL(waiting, 0u);
            BOOST_REQUIRE(lock.idle());
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
