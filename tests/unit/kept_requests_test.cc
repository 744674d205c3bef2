// What a server left in kept memory, wherever in its work it died. The kernel's part is played by writing into room().
#define BOOST_TEST_DYN_LINK
#include "fusefs/keeper/kept_requests.h"

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "lib/base/clock.h"

namespace drivebay {

namespace {

struct Kept {
    Kept() {
        Result<KeptMemory> made = KeptMemory::create();
        BOOST_REQUIRE(made.ok());
        memory = std::move(*made);
        serve_anew();
    }

    // As a successor finds it.
    std::vector<KeptRequest*> serve_anew() {
        requests.emplace(memory.layout());
        return requests->left();
    }

    // As read(2) of the device leaves it.
    std::span<std::byte> receive(std::uint32_t opcode, std::uint64_t unique, std::size_t data = 0) {
        const std::span<std::byte> room = requests->room();
        BOOST_REQUIRE(!room.empty());
        const std::size_t arguments = opcode == FUSE_WRITE ? sizeof(fuse_write_in) : 24;
        fuse_in_header header{};
        header.opcode = opcode;
        header.unique = unique;
        header.len = static_cast<std::uint32_t>(sizeof header + arguments + data);
        std::memcpy(room.data(), &header, sizeof header);
        for (std::size_t at = 0; at < data; ++at) {
            room[KeptRequests::write_header + at] = static_cast<std::byte>(unique + at / 512);
        }
        return room.first(header.len);
    }

    KeptMemory memory;
    std::optional<KeptRequests> requests;
};

bool holds(const KeptRequests& requests, const KeptRequest& request, std::size_t data) {
    for (std::size_t at = 0; at < data; ++at) {
        if (requests.data(request)[at] != static_cast<std::byte>(request.unique + at / 512)) {
            return false;
        }
    }
    return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(kept_requests)

BOOST_FIXTURE_TEST_CASE(what_was_asked_is_forgotten_with_its_server, Kept) {
    requests->keep(receive(FUSE_READ, 2));
    requests->keep(receive(FUSE_WRITE, 4, 4096));
    requests->keep(receive(FUSE_WRITE, 6, 300'000));
    requests->done(requests->keep(receive(FUSE_READ, 8)));
    const std::vector<KeptRequest*> left = serve_anew();
    BOOST_REQUIRE(left.size() == 3U);
    for (std::size_t i = 0; i < left.size(); ++i) {
        BOOST_TEST(left[i]->unique == 2 * (i + 1));
        BOOST_TEST(left[i]->take_overs == 1U);
        BOOST_TEST(reinterpret_cast<const fuse_in_header*>(requests->message(*left[i]).data())->unique == 2 * (i + 1));
    }
    BOOST_TEST(holds(*requests, *left[1], 4096));
    BOOST_TEST(holds(*requests, *left[2], 300'000));
}

BOOST_FIXTURE_TEST_CASE(a_successor_takes_its_start_for_the_moment_of_asking, Kept) {
    const auto before = BootClock::now().time_since_epoch().count();
    const std::int64_t received = requests->keep(receive(FUSE_READ, 2)).received_at;
    BOOST_TEST(received >= before);
    BOOST_TEST(received <= BootClock::now().time_since_epoch().count());
    const std::vector<KeptRequest*> left = serve_anew();
    BOOST_REQUIRE(left.size() == 1U);
    BOOST_TEST(left[0]->received_at == received);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_arrived_in_the_moment_of_the_kill_is_lost, Kept) {
    receive(FUSE_WRITE, 2, 100'000);
    const std::vector<KeptRequest*> left = serve_anew();
    BOOST_REQUIRE(left.size() == 1U);
    BOOST_TEST(holds(*requests, *left[0], 100'000));
    BOOST_TEST(serve_anew().size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_request_is_served_twice_because_two_places_hold_it, Kept) {
    const std::span<std::byte> small = receive(FUSE_READ, 2);
    const std::vector<std::byte> copy(small.begin(), small.end());
    requests->keep(small);
    // Killed between the record's word and the message's.
    std::memcpy(small.data(), copy.data(), copy.size());
    BOOST_TEST(serve_anew().size() == 1U);

    const std::uint32_t before = memory.layout().header.receiving;
    requests->keep(receive(FUSE_WRITE, 4, 500'000));
    // Killed before another buffer was chosen.
    memory.layout().header.receiving = before;
    const std::vector<KeptRequest*> left = serve_anew();
    BOOST_REQUIRE(left.size() == 2U);
    receive(FUSE_WRITE, 6, 500'000);
    BOOST_TEST(holds(*requests, *left[1], 500'000));
}

BOOST_FIXTURE_TEST_CASE(a_forget_is_carried_out_twice, Kept) {
    receive(FUSE_FORGET, 2);
    BOOST_TEST(serve_anew().empty());
    const std::span<std::byte> room = requests->room();
    BOOST_TEST(reinterpret_cast<const fuse_in_header*>(room.data())->len == 0U);
}

BOOST_FIXTURE_TEST_CASE(an_applied_write_is_applied_again, Kept) {
    requests->applied(requests->keep(receive(FUSE_WRITE, 2, 4096)), 4096);
    requests->applied(requests->keep(receive(FUSE_WRITE, 4, 4096)), -ESHUTDOWN);
    const std::vector<KeptRequest*> left = serve_anew();
    BOOST_REQUIRE(left.size() == 2U);
    BOOST_TEST(left[0]->state.load() == KeptRequest::applied);
    BOOST_TEST(left[0]->outcome == 4096);
    BOOST_TEST(left[1]->outcome == -ESHUTDOWN);
}

BOOST_FIXTURE_TEST_CASE(a_full_memory_overwrites_what_it_holds, Kept) {
    std::vector<KeptRequest*> kept;
    std::uint64_t unique = 0;
    while (!requests->room().empty()) {
        unique += 2;
        kept.push_back(&requests->keep(receive(FUSE_WRITE, unique, 20'000)));
    }
    BOOST_TEST(kept.size() == KeptLayout::larges);
    for (const KeptRequest* const request : kept) {
        BOOST_TEST(holds(*requests, *request, 20'000));
    }
    requests->done(*kept[5]);
    BOOST_TEST(!requests->room().empty());
    BOOST_TEST(serve_anew().size() == KeptLayout::larges - 1);
}

BOOST_FIXTURE_TEST_CASE(writes_that_stay_take_all_the_room, Kept) {
    for (const auto& [data, most] : {std::pair<std::size_t, std::size_t>{512, KeptLayout::requests / 2},
                                     {KeptLayout::small_size, KeptLayout::requests / 2},
                                     {KeptLayout::largest_data, KeptLayout::larges / 2}}) {
        std::vector<KeptRequest*> staying;
        do {
            staying.push_back(&requests->keep(receive(FUSE_WRITE, staying.size(), data)));
        } while (requests->may_stay(*staying.back()));
        BOOST_TEST(staying.size() <= most);
        BOOST_TEST(staying.size() >= most - 2);
        BOOST_TEST(!requests->room().empty());
        requests->done(*staying.back());
        staying.pop_back();
        BOOST_TEST(requests->may_stay(*staying.back()));
        for (KeptRequest* const request : staying) {
            requests->done(*request);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_memory_of_another_layout_is_taken_for_this_one) {
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    memory->layout().header.version += 1;
    const Result<KeptMemory> refused = KeptMemory::adopt(UniqueFd(dup(memory->fd())));
    BOOST_REQUIRE(!refused.ok());
    BOOST_TEST(refused.error().message.find("mount it again") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
