#define BOOST_TEST_DYN_LINK
#include "fusefs/blade/read_ahead.h"

#include <boost/test/unit_test.hpp>
#include <algorithm>
#include <cerrno>
#include <deque>

namespace drivebay {

namespace {

constexpr std::uint32_t piece = 16 << 10;
constexpr std::uint64_t size = std::uint64_t{64} << 20;

// The byte at `offset` of a drive whose every 4 KiB are unlike their neighbours.
std::byte byte_at(std::uint64_t offset, unsigned generation) {
    return static_cast<std::byte>(offset / 4096 * 7 + generation);
}

struct Host {
    struct Asked {
        std::vector<std::byte> memory;
        IoRequest request;
        int error = -1;
    };

    EventLoop loop;
    std::deque<IoRequest*> at_drive;
    std::deque<Asked> asked;
    unsigned generation = 0;
    std::uint64_t rate = std::uint64_t{100} << 20;
    std::vector<IoRequest*> awaited;
    ReadAhead ahead{loop,
                    {[this](IoRequest& request) { at_drive.push_back(&request); },
                     [this](IoRequest& request) { awaited.push_back(&request); }, [this] { return rate; }}};

    Asked& read(std::uint64_t offset, std::uint32_t length = piece) {
        Asked& one = asked.emplace_back();
        one.memory.resize(length);
        one.request.offset = offset;
        one.request.length = length;
        one.request.data = one.memory.data();
        one.request.context = &one;
        one.request.done = [](IoRequest& request, int error) { static_cast<Asked*>(request.context)->error = error; };
        if (!ahead.serve(one.request)) {
            at_drive.push_back(&one.request);
        }
        ahead.advance(one.request, size);
        return one;
    }

    // The drive answers everything that it was asked, and those who asked are told.
    void answer(int error = 0) {
        while (!at_drive.empty()) {
            IoRequest& request = *at_drive.front();
            at_drive.pop_front();
            for (std::uint32_t at = 0; at < request.length; ++at) {
                request.data[at] = byte_at(request.offset + at, generation);
            }
            request.done(request, error);
        }
        loop.post([this] { loop.at_round_end([this] { loop.stop(); }); });
        loop.run();
    }

    bool is_right(const Asked& one, unsigned expected) const {
        for (std::uint32_t at = 0; at < one.request.length; ++at) {
            if (one.memory[at] != byte_at(one.request.offset + at, expected)) {
                return false;
            }
        }
        return one.error == 0;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(read_ahead, Host)

BOOST_AUTO_TEST_CASE(a_reader_in_order_waits_for_each_piece) {
    std::uint64_t round_trips = 0;
    for (std::uint64_t offset = 4096; offset < (std::uint64_t{32} << 20); offset += piece) {
        Asked& one = read(offset);
        loop.post([this] { loop.at_round_end([this] { loop.stop(); }); });
        loop.run();
        if (one.error != 0) {
            ++round_trips;
            answer();
        }
        BOOST_TEST_REQUIRE(is_right(one, 0));
        BOOST_TEST_REQUIRE(ahead.held() <= ReadAhead::most);
    }
    BOOST_TEST(round_trips < 200);  // of 2,048
}

BOOST_AUTO_TEST_CASE(random_reads_are_followed_by_more) {
    for (const std::uint64_t offset : {5u << 20, 1u << 20, 9u << 20, 3u << 20, 7u << 20, 2u << 20}) {
        read(offset);
    }
    BOOST_TEST(at_drive.size() == 6);
    BOOST_TEST(ahead.held() == 0);
    answer();
}

BOOST_AUTO_TEST_CASE(old_bytes_are_served_after_a_write) {
    read(0);
    read(piece);
    answer();
    BOOST_TEST_REQUIRE(ahead.held() > 0);
    generation = 1;
    ahead.forget(2 * piece + 5, 1);
    Asked& one = read(2 * piece);
    answer();
    BOOST_TEST(is_right(one, 1));
}

BOOST_AUTO_TEST_CASE(a_write_during_the_reading_ahead_is_overlooked) {
    read(0);
    read(piece);  // what follows is being read ahead
    Asked& before = read(2 * piece);
    ahead.forget(2 * piece, piece);
    Asked& after = read(2 * piece);
    std::deque<IoRequest*> earlier(at_drive.begin(), at_drive.end() - 1);
    BOOST_TEST_REQUIRE((at_drive.back() == &after.request));
    std::deque<IoRequest*> later{at_drive.back()};
    at_drive = earlier;
    answer();
    generation = 1;
    at_drive = later;
    answer();
    BOOST_TEST(is_right(before, 0));
    BOOST_TEST(is_right(after, 1));
    Asked& again = read(2 * piece);
    answer();
    BOOST_TEST(is_right(again, 1));
}

BOOST_AUTO_TEST_CASE(an_error_ahead_is_the_readers) {
    read(0);
    read(piece);
    Asked& one = read(2 * piece);
    const std::size_t before = at_drive.size();
    std::deque<IoRequest*> first;
    std::swap(first, at_drive);
    for (IoRequest* const request : first) {
        request->done(*request, EIO);
    }
    BOOST_TEST(before > 2);
    BOOST_TEST(one.error == -1);
    BOOST_TEST_REQUIRE(at_drive.size() == 1);
    answer();
    BOOST_TEST(is_right(one, 0));
}

BOOST_AUTO_TEST_CASE(it_reads_past_the_end) {
    read(size - 3 * piece);
    read(size - 2 * piece);
    for (const IoRequest* const request : at_drive) {
        BOOST_TEST(request->offset + request->length <= size);
    }
    Asked& last = read(size - piece);
    answer();
    BOOST_TEST(is_right(last, 0));
}

BOOST_AUTO_TEST_CASE(two_readers_take_each_other_for_random) {
    std::ptrdiff_t round_trips = 0;
    for (std::uint64_t step = 0; step < 512; ++step) {
        for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{32} << 20}) {
            Asked& one = read(start + step * piece);
            round_trips += std::ranges::count(at_drive, &one.request);
            answer();
            BOOST_TEST_REQUIRE(is_right(one, 0));
        }
    }
    BOOST_TEST(round_trips < 100);  // of 1,024
}

BOOST_AUTO_TEST_CASE(what_nobody_wants_stays_for_ever) {
    read(0);
    read(piece);
    answer();
    BOOST_TEST_REQUIRE(ahead.held() > 0);
    loop.call_after(std::chrono::milliseconds(2200), [this] { loop.stop(); });
    loop.run();
    BOOST_TEST(ahead.held() == 0);
}

BOOST_AUTO_TEST_CASE(a_read_that_waits_for_one_ahead_counts_in_no_pause) {
    read(0);
    read(piece);
    for (const IoRequest* const request : at_drive) {
        BOOST_TEST(request->awaited == (request->length == piece));
    }
    BOOST_TEST(awaited.empty());
    read(2 * piece);
    BOOST_REQUIRE(awaited.size() == 1U);
    BOOST_TEST(awaited[0]->offset == 2 * piece);
    answer();
}

BOOST_AUTO_TEST_CASE(a_slow_link_is_asked_for_more_than_it_moves_in_time) {
    rate = 100 << 10;
    for (std::uint64_t offset = 0; offset < (std::uint64_t{2} << 20); offset += piece) {
        Asked& one = read(offset);
        BOOST_TEST_REQUIRE(ahead.held() <= 128 << 10);
        for (const IoRequest* const request : at_drive) {
            BOOST_TEST_REQUIRE(request->length <= 25 << 10);
        }
        answer();
        BOOST_TEST_REQUIRE(is_right(one, 0));
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
