#define BOOST_TEST_DYN_LINK
#include "fusefs/engine/fair_queue.h"

#include <boost/test/unit_test.hpp>
#include <deque>
#include <future>
#include <map>
#include <set>

#include "fusefs/engine/admitted_view.h"
#include "fusefs/engine/drive_policies.h"

namespace drivebay {
namespace {

using namespace std::chrono_literals;

constexpr Instant start{Duration(100s)};

// Requests of several places, told apart by their context.
struct Bench {
    explicit Bench(FairQueue::Limits limits) : queue(limits) {}

    void ask(FairQueue::Place& place, std::uint32_t length, IoOperation operation = IoOperation::read) {
        requests.emplace_back();
        requests.back().operation = operation;
        requests.back().length = length;
        requests.back().offset = requests.size();
        requests.back().context = &place;
        queue.add(place, requests.back());
    }
    // Null: none may go.
    IoRequest* take(Instant now = start) {
        const std::optional<FairQueue::Turn> turn = queue.take(now);
        if (!turn) {
            return nullptr;
        }
        bytes[turn->request->context] += turn->length;
        ++turns[turn->request->context];
        in_flight.push_back(*turn);
        return turn->request;
    }
    void complete() {
        IoRequest piece = *in_flight.front().request;
        piece.length = in_flight.front().length;
        queue.leave(*static_cast<FairQueue::Place*>(piece.context), FairQueue::cost(piece));
        in_flight.pop_front();
    }

    FairQueue queue;
    std::deque<IoRequest> requests;
    std::deque<FairQueue::Turn> in_flight;
    std::map<void*, std::uint64_t> bytes;
    std::map<void*, int> turns;
};

// Keeps what it is given.
struct StuckDrive final : Drive {
    DriveGeometry geometry() const override { return {8 << 20, 512, false, false}; }
    void submit(IoRequest& request) override { got.push_back(&request); }
    void close(std::function<void()> closed) override { closed(); }
    std::string failure() const override { return ""; }
    void finish(std::size_t which, int error) {
        IoRequest& request = *got[which];
        got.erase(got.begin() + static_cast<std::ptrdiff_t>(which));
        request.done(request, error);
    }
    std::vector<IoRequest*> got;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(fair_queue)

BOOST_AUTO_TEST_CASE(more_is_in_flight_than_is_allowed_or_a_large_request_never_goes) {
    Bench bench({3, 1 << 20});
    FairQueue::Place place;
    for (int i = 0; i < 5; ++i) {
        bench.ask(place, 4096);
    }
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(bench.take() == &bench.requests[static_cast<std::size_t>(i)], "out of order");
    }
    BOOST_TEST(bench.take() == nullptr);
    bench.complete();
    BOOST_TEST(bench.take() != nullptr);
    BOOST_TEST(bench.take() == nullptr);

    Bench large({64, 1 << 20, 1 << 20});
    FairQueue::Place other;
    large.ask(other, 32 << 20);
    large.ask(other, 4096);
    large.requests[0].uncut = true;
    BOOST_TEST(large.take() == &large.requests[0]);
    BOOST_TEST(large.take() == nullptr);
    large.complete();
    BOOST_TEST(large.take() == &large.requests[1]);
    BOOST_TEST(large.queue.idle());
}

// Small ones that keep coming do not keep a large one from its turn, and each place gets the same number of bytes.
BOOST_AUTO_TEST_CASE(a_greedy_blade_starves_the_others) {
    Bench bench({8, 4 << 20});
    FairQueue::Place small;
    FairQueue::Place large;
    FairQueue::Place huge;
    std::map<void*, int> waiting;
    const auto keep_asking = [&](FairQueue::Place& place, std::uint32_t length, int many) {
        for (; waiting[&place] < many; ++waiting[&place]) {
            bench.ask(place, length);
        }
    };
    while (bench.bytes[&small] < std::uint64_t{64} << 20) {
        keep_asking(small, 64 << 10, 16);
        keep_asking(large, 1 << 20, 200);
        keep_asking(huge, 32 << 20, 2);
        while (const IoRequest* const taken = bench.take()) {
            waiting[taken->context] -= taken->taken == taken->length ? 1 : 0;
        }
        BOOST_REQUIRE(!bench.in_flight.empty());
        bench.complete();
    }
    const auto share = [&](FairQueue::Place& place) {
        return static_cast<double>(bench.bytes[&place]) / static_cast<double>(bench.bytes[&small]);
    };
    BOOST_TEST(share(large) > 0.9);
    BOOST_TEST(share(large) < 1.1);
    BOOST_TEST(share(huge) > 0.9);
    BOOST_TEST(share(huge) < 1.1);
}

// Requests that move next to nothing take the drive's time all the same.
BOOST_AUTO_TEST_CASE(a_flood_of_tiny_requests_or_of_flushes_is_had_for_nothing) {
    for (const auto& [operation, length] : {std::pair(IoOperation::read, 512u), std::pair(IoOperation::flush, 0u),
                                            std::pair(IoOperation::trim, 32u << 20), std::pair(IoOperation::block_status, 4096u)}) {
        Bench bench({4, 1 << 20});
        FairQueue::Place modest;
        FairQueue::Place flooder;
        for (int i = 0; i < 4000; ++i) {
            bench.ask(modest, 4096);
            bench.ask(flooder, length, operation);
        }
        while (bench.turns[&modest] < 1000) {
            while (bench.take() != nullptr) {
            }
            bench.complete();
        }
        BOOST_TEST(bench.turns[&flooder] > 100);
        BOOST_TEST(bench.turns[&flooder] < 1400);
    }
}

// Between a long one's pieces the others have their turns; each byte goes once, and pieces end where blocks do.
BOOST_AUTO_TEST_CASE(a_blade_waits_for_all_of_anothers_32_mib) {
    Bench bench({128});
    FairQueue::Place greedy;
    FairQueue::Place modest;
    bench.ask(modest, 4096);
    bench.take();
    bench.complete();
    bench.ask(greedy, 32 << 20);
    bench.requests.back().offset = 512;
    std::uint64_t end = 0;
    while (!bench.queue.idle()) {
        bench.ask(modest, 4096);
        const int before = bench.turns[&greedy];
        while (bench.bytes[&modest] < 4096 * (bench.requests.size() - 1)) {
            if (bench.take() == nullptr) {
                bench.complete();
                continue;
            }
            const FairQueue::Turn& last = bench.in_flight.back();
            if (last.request->context == &greedy) {
                BOOST_TEST(last.begin == end);
                end += last.length;
                BOOST_TEST(((512 + end) % 4096 == 0 || end == 32u << 20));
                // The first one goes before it is known that there are two.
                BOOST_TEST(last.length <= (last.begin == 0 ? 1u << 20 : 64u << 10));
            }
        }
        BOOST_REQUIRE(bench.turns[&greedy] <= before + 2);
    }
    BOOST_TEST(end == 32u << 20);
}

BOOST_AUTO_TEST_CASE(what_waits_goes_after_its_place_was_cleared_or_others_are_forgotten_with_it) {
    Bench bench({1, 1 << 20});
    FairQueue::Place first;
    FairQueue::Place second;
    FairQueue::Place third;
    FairQueue::Place* const places[] = {&first, &second, &third};
    for (FairQueue::Place* const cleared : places) {
        for (FairQueue::Place* const place : places) {
            bench.ask(*place, 4096);
            bench.ask(*place, 4096);
        }
        int out = 0;
        for (const IoRequest* request = bench.queue.clear(*cleared); request != nullptr; request = request->next) {
            BOOST_TEST(request->context == cleared);
            ++out;
        }
        BOOST_TEST(out == 2);
        BOOST_TEST(bench.queue.clear(*cleared) == nullptr);
        int went = 0;
        while (const IoRequest* const taken = bench.take()) {
            BOOST_TEST(taken->context != cleared);
            ++went;
            bench.complete();
        }
        BOOST_TEST(went == 4);
        BOOST_TEST(bench.queue.idle());
    }
}

// What one blade has in flight is what the next one's request waits for.
BOOST_AUTO_TEST_CASE(a_modest_blade_waits_behind_all_that_a_greedy_one_may_have_in_flight) {
    Bench bench({128, 16 << 20});
    FairQueue::Place greedy;
    FairQueue::Place modest;
    const auto fill = [&] {
        while (bench.take() != nullptr) {
        }
        return bench.in_flight.size();
    };
    for (int i = 0; i < 3000; ++i) {
        bench.ask(greedy, 64 << 10);
    }
    fill();
    for (int i = 0; i < 1500; ++i) {
        bench.complete();
        fill();
    }
    BOOST_TEST(bench.in_flight.size() == 128u, "one alone does not have the whole drive");
    bench.ask(modest, 4096);
    for (int i = 0; i < 200; ++i) {
        bench.complete();
        fill();
    }
    BOOST_TEST(bench.bytes[&modest] == 4096u);
    BOOST_TEST(bench.in_flight.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_rate_is_exceeded_or_holds_back_others) {
    Bench bench({64, 64 << 20});
    FairQueue::Place slow(1 << 20);  // 1 MiB a second
    FairQueue::Place fast;
    Instant now = start;
    std::uint64_t least_gap = 0;
    for (int i = 0; i < 64; ++i) {
        bench.ask(slow, 64 << 10);
    }
    while (now < start + 3s) {
        bench.ask(fast, 4096);
        while (bench.take(now) != nullptr) {
            bench.complete();
        }
        const std::optional<Instant> due = bench.queue.next_due();
        BOOST_REQUIRE((!due || *due > now));
        now = due.value_or(now + 10ms);
        ++least_gap;
    }
    // Three seconds' worth, and what may go at once.
    BOOST_TEST(bench.bytes[&slow] <= (std::uint64_t{3} << 20) + FairQueue::quantum + (64 << 10));
    BOOST_TEST(bench.bytes[&slow] >= (std::uint64_t{3} << 20) - (128 << 10));
    BOOST_TEST(bench.bytes[&fast] == least_gap * 4096);
}

// The whole way: what waits when its epoch ends is refused, at once, and does not reach the drive.
BOOST_AUTO_TEST_CASE(a_fence_waits_for_what_has_not_begun_or_lets_it_through) {
    StuckDrive drive;
    EventLoop loop;
    DriveScheduler scheduler(loop, {2, 1 << 20});
    ViewInfo info;
    info.admission = {"x", "blade01", Mode::write, 7};
    info.geometry = drive.geometry();
    AdmittedView view(loop, drive, scheduler, info);
    std::deque<IoRequest> requests(5);
    std::map<IoRequest*, int> errors;
    for (IoRequest& request : requests) {
        request.operation = IoOperation::write;
        request.length = 512;
        request.context = &errors;
        request.done = [](IoRequest& done, int error) {
            (*static_cast<std::map<IoRequest*, int>*>(done.context))[&done] = error;
        };
        view.submit(request);
    }
    BOOST_TEST(drive.got.size() == 2u);
    bool drained = false;
    view.end([&] { drained = true; });
    loop.at_round_end([&] { loop.stop(); });
    loop.run();
    BOOST_TEST(errors.size() == 3u);
    BOOST_TEST(!drained);
    for (std::size_t i = 2; i < 5; ++i) {
        BOOST_TEST(errors[&requests[i]] == ESHUTDOWN);
    }
    for (IoRequest* const request : std::vector(drive.got)) {
        request->done(*request, 0);
    }
    BOOST_TEST(drained);
    BOOST_TEST(drive.got.size() == 2u);
    BOOST_TEST(errors[&requests[0]] == 0);
}

namespace {

struct PiecesBench {
    EventLoop loop;
    StuckDrive drive;
    DriveScheduler scheduler{loop, {2, 16 << 20, 1 << 20}};
    std::unique_ptr<AdmittedView> view;
    std::vector<std::byte> data = std::vector<std::byte>(4 << 20);
    IoRequest request;
    std::vector<int> answers;

    PiecesBench() {
        ViewInfo info;
        info.admission = {"x", "blade01", Mode::write, 7};
        info.geometry = drive.geometry();
        view = std::make_unique<AdmittedView>(loop, drive, scheduler, info);
        request.operation = IoOperation::write;
        request.fua = true;
        request.offset = 4096;
        request.length = 4 << 20;
        request.data = data.data();
        request.context = this;
        request.done = [](IoRequest& done, int error) { static_cast<PiecesBench*>(done.context)->answers.push_back(error); };
        view->submit(request);
    }
    void run_a_round() {
        loop.at_round_end([this] { loop.stop(); });
        loop.run();
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_request_in_pieces_is_answered_early_twice_or_with_a_hole) {
    for (const int error : {0, EIO}) {
        PiecesBench bench;
        std::uint64_t end = 0;
        for (int i = 0; i < 4; ++i) {
            BOOST_REQUIRE(bench.drive.got.size() == (i < 3 ? 2u : 1u));
            BOOST_TEST(bench.answers.empty());
            const IoRequest& piece = *bench.drive.got[0];
            BOOST_TEST(piece.fua);
            BOOST_TEST((piece.operation == IoOperation::write));
            BOOST_TEST(piece.offset == 4096 + end);
            BOOST_TEST((piece.data == bench.data.data() + end));
            end += piece.length;
            bench.drive.finish(0, i == 1 ? error : 0);
        }
        BOOST_TEST(end == bench.request.length);
        BOOST_TEST(bench.answers == std::vector<int>{error});
        const protocol::Counters counters = bench.view->counters();
        BOOST_TEST(counters.writes == (error == 0 ? 1u : 0u));
        BOOST_TEST(counters.written_bytes == (error == 0 ? 4u << 20 : 0u));
        bench.view->end([] {});
    }
}

BOOST_AUTO_TEST_CASE(a_piece_reaches_the_drive_after_the_fence_or_its_request_is_never_answered) {
    PiecesBench bench;
    bool drained = false;
    bench.view->end([&] { drained = true; });
    bench.drive.finish(1, 0);
    bench.run_a_round();
    BOOST_TEST(bench.answers.empty());
    BOOST_TEST(!drained);
    bench.drive.finish(0, 0);
    BOOST_TEST(drained);
    BOOST_TEST(bench.answers == std::vector<int>{ESHUTDOWN});
    BOOST_TEST(bench.drive.got.empty());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(drive_policies)

BOOST_AUTO_TEST_CASE(a_limit_is_misread_or_the_wrong_one_counts) {
    const Result<RateLimit> limit = parse_rate_limit("blade07/scratch 20M");
    BOOST_REQUIRE(limit.ok());
    BOOST_TEST(limit->rule.blade == "blade07");
    BOOST_TEST(limit->rule.drive == "scratch");
    BOOST_TEST(limit->bytes_per_second == std::uint64_t{20} << 20);
    for (const char* const wrong : {"", "blade07", "blade07/scratch", "/scratch 1M", "a b/c 1M", "blade07/scratch 20X",
                                    "blade07/scratch -1", "blade07/scratch 1", "blade07/scratch 99999999999G", "b/c  1M"}) {
        BOOST_TEST(!parse_rate_limit(wrong).ok(), wrong);
    }
    DrivePolicies policies;
    policies.limits = {*parse_rate_limit("blade07/scratch 20M"), *parse_rate_limit("*/scratch 1G"), *parse_rate_limit("blade01/* 8K")};
    BOOST_TEST(policies.rate_of("blade07", "scratch") == std::uint64_t{20} << 20);
    BOOST_TEST(policies.rate_of("blade01", "scratch") == std::uint64_t{1} << 30);
    BOOST_TEST(policies.rate_of("blade01", "install") == 8192u);
    BOOST_TEST(policies.rate_of("blade02", "install") == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay
