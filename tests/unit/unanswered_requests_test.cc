#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_client/unanswered_requests.h"

#include <boost/test/unit_test.hpp>
#include <deque>

namespace drivebay {

namespace {

struct Requests {
    NbdExport server;
    UnansweredRequests queue{8};
    std::deque<IoRequest> requests;
    std::byte memory[4096]{};

    UnansweredRequests::Entry& add(IoOperation operation, std::uint64_t offset, std::uint32_t length,
                                   bool awaited = true) {
        IoRequest& request = requests.emplace_back();
        request.operation = operation;
        request.offset = offset;
        request.length = length;
        request.data = memory;
        request.awaited = awaited;
        return queue.add(request, server);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(unanswered_requests, Requests)

BOOST_AUTO_TEST_CASE(overlapping_writes_are_in_flight_together) {
    auto& first = add(IoOperation::write, 0, 4096);
    auto& second = add(IoOperation::write, 4095, 1);
    auto& apart = add(IoOperation::write, 4096, 512);
    BOOST_TEST(queue.next_to_send() == &first);
    BOOST_TEST(queue.next_to_send() == &apart);
    BOOST_TEST(queue.next_to_send() == nullptr);
    queue.remove(first);
    BOOST_TEST(queue.next_to_send() == &second);
}

BOOST_AUTO_TEST_CASE(a_write_overtakes_one_that_waits) {
    add(IoOperation::write, 0, 4096);
    add(IoOperation::write, 0, 8192);     // waits for the first
    add(IoOperation::write, 4096, 4096);  // overlaps the second only
    BOOST_TEST(queue.next_to_send() != nullptr);
    BOOST_TEST(queue.next_to_send() == nullptr);
}

BOOST_AUTO_TEST_CASE(zeroes_and_trims_are_no_writes) {
    add(IoOperation::write_zeroes, 0, 4096);
    add(IoOperation::trim, 0, 4096);
    add(IoOperation::write, 0, 512);
    BOOST_TEST(queue.next_to_send() != nullptr);
    BOOST_TEST(queue.next_to_send() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_write_of_parts_of_one_block_runs_beside_another) {
    server.minimum_block = 4096;
    add(IoOperation::write, 0, 512);
    add(IoOperation::write, 512, 512);
    BOOST_TEST(queue.next_to_send() != nullptr);
    BOOST_TEST(queue.next_to_send() == nullptr);
}

BOOST_AUTO_TEST_CASE(reads_and_flushes_wait_for_writes) {
    add(IoOperation::write, 0, 4096);
    add(IoOperation::read, 0, 4096);
    add(IoOperation::flush, 0, 0);
    BOOST_TEST(queue.next_to_send() != nullptr);
    BOOST_TEST(queue.next_to_send() != nullptr);
    BOOST_TEST(queue.next_to_send() != nullptr);
}

BOOST_AUTO_TEST_CASE(an_answered_write_is_not_there_for_a_read_or_a_flush) {
    auto& answered = add(IoOperation::write, 0, 4096);
    answered.request().answered_early = true;
    auto& read = add(IoOperation::read, 4095, 1);
    auto& apart = add(IoOperation::read, 4096, 512);
    auto& flush = add(IoOperation::flush, 0, 0);
    BOOST_TEST(queue.next_to_send() == &answered);
    BOOST_TEST(queue.next_to_send() == &apart);
    BOOST_TEST(queue.next_to_send() == nullptr);
    BOOST_TEST(queue.first_to_answer() == &read);
    queue.remove(answered);
    BOOST_TEST(queue.next_to_send() == &read);
    BOOST_TEST(queue.next_to_send() == &flush);
}

BOOST_AUTO_TEST_CASE(what_was_in_flight_is_repeated_in_another_order_or_not_at_all) {
    auto& first = add(IoOperation::write, 0, 512);
    auto& second = add(IoOperation::write, 512, 512);
    auto& third = add(IoOperation::write, 0, 512);
    BOOST_TEST(queue.next_to_send() == &first);
    BOOST_TEST(queue.next_to_send() == &second);
    BOOST_TEST(queue.writes_in_flight());
    queue.connection_lost();
    BOOST_TEST(!queue.writes_in_flight());
    BOOST_TEST(queue.in_flight() == 0U);
    BOOST_TEST(queue.next_to_send() == &first);
    BOOST_TEST(queue.next_to_send() == &second);
    queue.remove(first);
    BOOST_TEST(queue.next_to_send() == &third);
}

BOOST_AUTO_TEST_CASE(more_than_the_limit_is_in_flight) {
    for (std::uint64_t i = 0; i < 10; ++i) {
        add(IoOperation::read, i * 512, 512);
    }
    for (int i = 0; i < 8; ++i) {
        BOOST_TEST(queue.next_to_send() != nullptr);
    }
    BOOST_TEST(queue.next_to_send() == nullptr);
    BOOST_TEST(queue.size() == 10U);
}

BOOST_AUTO_TEST_CASE(what_nobody_waits_for_counts_in_a_pause) {
    auto& ahead = add(IoOperation::read, 0, 4096, false);
    BOOST_TEST(!queue.awaited());
    auto& read = add(IoOperation::read, 4096, 4096);
    BOOST_TEST(queue.awaited());
    queue.remove(read);
    BOOST_TEST(!queue.awaited());
    BOOST_TEST(!queue.now_awaited(requests.back()));  // it is done already
    BOOST_TEST(queue.now_awaited(ahead.request()));
    BOOST_TEST(queue.now_awaited(ahead.request()));
    BOOST_TEST(queue.awaited());
    queue.remove(ahead);
    BOOST_TEST(!queue.awaited());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
