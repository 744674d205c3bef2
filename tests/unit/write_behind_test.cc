#define BOOST_TEST_DYN_LINK
#include "fusefs/blade/write_behind.h"

#include <boost/test/unit_test.hpp>

#include "fusefs/keeper/kept_epochs.h"
#include "fusefs/nbd_client/link_rate.h"

namespace drivebay {

using std::chrono::milliseconds;

namespace {

constexpr std::uint32_t piece = 16 << 10;
const Instant start{milliseconds(1000000)};

struct Link {
    LinkRate link;
    WriteBehind behind{[this] { return link.bytes_a_second(); }};

    // A host that writes as fast as it may, and a link that moves a piece each `pace`, for so long.
    void keep_busy(Duration pace, Duration time, Instant begin = start) {
        for (Instant now = begin; now < begin + time; now += pace) {
            while (behind.take(piece)) {
                link.begun(now);
            }
            behind.done(piece);
            link.done(piece, now + pace);
        }
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(write_behind, Link)

BOOST_AUTO_TEST_CASE(more_is_answered_than_there_is_room_for) {
    std::uint64_t taken = 0;
    while (behind.take(piece)) {
        taken += piece;
    }
    BOOST_TEST(taken <= behind.limit());
    BOOST_TEST(taken > behind.limit() - piece);
    BOOST_TEST(behind.held() == taken);
    behind.done(piece);
    BOOST_TEST(behind.take(piece));
    BOOST_TEST(!behind.take(piece));
}

BOOST_AUTO_TEST_CASE(an_eject_waits_longer_than_three_seconds_for_a_slow_link) {
    keep_busy(milliseconds(100), std::chrono::seconds(30));  // 160 KiB/s
    BOOST_TEST(behind.limit() >= 400u << 10);
    BOOST_TEST(behind.limit() <= 500u << 10);
}

BOOST_AUTO_TEST_CASE(a_fast_link_is_not_used) {
    keep_busy(milliseconds(1), std::chrono::seconds(30));
    BOOST_TEST(behind.limit() == WriteBehind::most);
}

BOOST_AUTO_TEST_CASE(a_dead_link_ends_it_for_ever) {
    keep_busy(std::chrono::seconds(10), std::chrono::seconds(600));
    BOOST_TEST(behind.limit() == WriteBehind::least);
    keep_busy(milliseconds(1), std::chrono::seconds(30), start + std::chrono::seconds(600));
    BOOST_TEST(behind.limit() == WriteBehind::most);
}

BOOST_AUTO_TEST_CASE(what_another_server_answered_is_refused) {
    behind.take_anyway(16 << 20);
    BOOST_TEST(!behind.take(512));
    behind.done(16 << 20);
    BOOST_TEST(behind.take(512));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(kept_epochs)

BOOST_AUTO_TEST_CASE(a_successor_does_not_know_what_was_left_unflushed_or_lost) {
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    {
        KeptEpochs epochs(memory->layout());
        KeptEpochs::note_unflushed(*epochs.of("a", 7), "first-boot");
        KeptEpochs::note_unflushed(*epochs.of("b", 8), "first-boot");
        KeptEpochs::note_unflushed(*epochs.of("b", 8), "");
        KeptEpochs::note_over(*epochs.of("c", 9), true);
        KeptEpochs::note_over(*epochs.of("d", 10), false);
    }
    KeptEpochs epochs(memory->layout());
    BOOST_TEST(KeptEpochs::unflushed_with(*epochs.find("a", 7)) == "first-boot");
    BOOST_TEST(KeptEpochs::unflushed_with(*epochs.find("b", 8)) == "");
    BOOST_TEST((epochs.find("a", 8) == nullptr));
    BOOST_TEST((epochs.find("c", 9)->state.load() == KeptEpoch::lost));
    BOOST_TEST((epochs.of("c", 9)->state.load() == KeptEpoch::lost));
    BOOST_TEST((epochs.find("d", 10)->state.load() == KeptEpoch::drained));
    BOOST_TEST((epochs.of("d", 10)->state.load() == KeptEpoch::open));
}

BOOST_AUTO_TEST_CASE(a_clock_that_was_set_back_gives_a_lower_instance) {
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    BOOST_TEST(KeptEpochs(memory->layout()).next_instance(1000) == 1000U);
    KeptEpochs epochs(memory->layout());
    BOOST_TEST(epochs.next_instance(500) == 1001U);
    BOOST_TEST(epochs.next_instance(1001) == 1002U);
    BOOST_TEST(epochs.next_instance(5000) == 5000U);
}

BOOST_AUTO_TEST_CASE(an_open_epoch_makes_room_for_another) {
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    KeptEpochs epochs(memory->layout());
    for (Epoch epoch = 1; epoch <= KeptLayout::epochs; ++epoch) {
        BOOST_TEST_REQUIRE((epochs.of("drive", epoch) != nullptr));
    }
    BOOST_TEST((epochs.of("drive", 1000) == nullptr));
    KeptEpochs::note_over(*epochs.find("drive", 5), false);
    KeptEpochs::note_over(*epochs.find("drive", 4), true);
    BOOST_TEST((epochs.of("drive", 1000) != nullptr));
    BOOST_TEST((epochs.find("drive", 4) == nullptr));
    BOOST_TEST((epochs.find("drive", 5) != nullptr));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
