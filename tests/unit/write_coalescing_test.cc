#define BOOST_TEST_DYN_LINK
#include "fusefs/blade/write_coalescing.h"

#include <boost/test/unit_test.hpp>
#include <algorithm>
#include <cerrno>
#include <deque>
#include <random>

namespace drivebay {

namespace {

constexpr std::uint32_t piece = 16 << 10;

struct Host {
    struct Written {
        std::vector<std::byte> memory;
        IoRequest request;
        int error = -1;
    };

    std::deque<IoRequest*> at_drive;
    std::deque<Written> written;
    std::uint64_t rate = std::uint64_t{100} << 20;
    WriteCoalescing coalescing{[this](IoRequest& request) { at_drive.push_back(&request); }, [this] { return rate; }};
    std::vector<std::byte> drive = std::vector<std::byte>(std::size_t{4} << 20);
    std::vector<std::byte> wanted = drive;

    Written& write(std::uint64_t offset, std::uint32_t length = piece) {
        Written& one = written.emplace_back();
        one.memory.assign(length, static_cast<std::byte>(written.size() * 7 + 1));
        one.request.operation = IoOperation::write;
        one.request.answered_early = true;
        one.request.offset = offset;
        one.request.length = length;
        one.request.data = one.memory.data();
        one.request.context = &one;
        one.request.done = [](IoRequest& request, int error) { static_cast<Written*>(request.context)->error = error; };
        std::ranges::copy(one.memory, wanted.begin() + static_cast<std::ptrdiff_t>(offset));
        coalescing.take(one.request);
        return one;
    }

    void answer_first(int error = 0) {
        IoRequest& request = *at_drive.front();
        at_drive.pop_front();
        std::copy_n(request.data, request.length, drive.begin() + static_cast<std::ptrdiff_t>(request.offset));
        request.done(request, error);
    }

    void answer_all() {
        while (!at_drive.empty()) {
            answer_first();
        }
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(write_coalescing, Host)

BOOST_AUTO_TEST_CASE(a_write_waits_although_nothing_is_at_the_drive) {
    write(0);
    BOOST_TEST_REQUIRE(at_drive.size() == 1);
    answer_all();
    write(piece);
    BOOST_TEST(at_drive.size() == 1);
    answer_all();
}

BOOST_AUTO_TEST_CASE(each_of_many_in_order_is_a_request_of_its_own) {
    for (std::uint64_t offset = 0; offset < std::uint64_t{2} << 20; offset += piece) {
        write(offset);
    }
    std::size_t requests = 0;
    while (!at_drive.empty()) {
        BOOST_TEST(at_drive.front()->length <= WriteCoalescing::largest);
        ++requests;
        answer_first();
    }
    BOOST_TEST(requests == 1 + (127 * piece + WriteCoalescing::largest - 1) / WriteCoalescing::largest);
    BOOST_TEST((drive == wanted));
    BOOST_TEST(std::ranges::all_of(written, [](const Written& one) { return one.error == 0; }));
}

BOOST_AUTO_TEST_CASE(what_is_held_back_is_never_sent) {
    write(0);
    write(piece);
    write(2 * piece);
    BOOST_TEST_REQUIRE(at_drive.size() == 1);
    answer_first();
    BOOST_TEST_REQUIRE(at_drive.size() == 1);
    BOOST_TEST(at_drive.front()->length == 2 * piece);
    answer_first();
    BOOST_TEST(written.back().error == 0);
}

BOOST_AUTO_TEST_CASE(a_flush_or_what_overlaps_overtakes_it) {
    IoRequest flush;
    flush.operation = IoOperation::flush;
    IoRequest overlapping;
    overlapping.offset = 2 * piece - 1;
    overlapping.length = 1;
    IoRequest elsewhere;
    elsewhere.offset = 2 * piece;
    elsewhere.length = 4096;
    write(0);
    write(piece);
    coalescing.send_before(elsewhere);
    BOOST_TEST(at_drive.size() == 1);
    coalescing.send_before(overlapping);
    BOOST_TEST(at_drive.size() == 2);
    write(2 * piece);
    BOOST_TEST(at_drive.size() == 2);
    coalescing.send_before(flush);
    BOOST_TEST(at_drive.size() == 3);
    answer_all();
}

BOOST_AUTO_TEST_CASE(an_error_is_told_to_one_of_several) {
    write(0);
    write(piece);
    write(2 * piece);
    answer_first();
    answer_first(ENOSPC);
    BOOST_TEST(written[0].error == 0);
    BOOST_TEST(written[1].error == ENOSPC);
    BOOST_TEST(written[2].error == ENOSPC);
}

// With a drive that keeps to the order of what overlaps, as UnansweredRequests does.
BOOST_AUTO_TEST_CASE(an_older_write_lands_on_a_newer_one) {
    std::mt19937 random(20061);
    std::uint64_t next = 0;
    for (int i = 0; i < 20000; ++i) {
        if (random() % 8 == 0) {
            next = random() % 64 * 4096;
        }
        const std::uint32_t length = (1 + random() % 8) * 4096;
        write(next, length);
        next = (next + length) % (std::uint64_t{1} << 20);
        if (random() % 3 == 0 && !at_drive.empty()) {
            answer_first();
        }
    }
    answer_all();
    BOOST_TEST((drive == wanted));
    BOOST_TEST(std::ranges::all_of(written, [](const Written& one) { return one.error == 0; }));
}

BOOST_AUTO_TEST_CASE(a_slow_link_is_given_more_than_it_moves_in_time) {
    rate = 200 << 10;
    for (std::uint64_t offset = 0; offset < std::uint64_t{1} << 20; offset += piece) {
        write(offset);
    }
    bool together = false;
    while (!at_drive.empty()) {
        BOOST_TEST_REQUIRE(at_drive.front()->length <= 50 << 10);
        together = together || at_drive.front()->length > piece;
        answer_first();
    }
    BOOST_TEST(together);
    BOOST_TEST((drive == wanted));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
