// What other NBD servers once got wrong (CVE), and the test that would notice it here:
//
// 2022-26495  a name length of 0xffffffff, plus one, is 0
//             nbd_handshake/a_name_length_that_overflows_is_believed, the_lengths_inside_a_metadata_option_are_believed
// 2022-26496, 2017-15118  a long export name on the stack
//             nbd_handshake/a_long_export_name_is_taken
// 2020-10761  an assertion on what the peer sends
//             nbd_handshake/a_refusal_is_as_long_as_the_peer_likes
// 2017-15119  4 GiB of option data are read
//             nbd_handshake/an_option_of_4_gib_is_read
// 2017-9524, 2017-7539, 2013-7441  the peer goes during the negotiation
//             nbd_handshake/a_negotiation_cut_anywhere_or_in_pieces_comes_out_differently,
//             nbd_server/a_client_that_goes_anywhere_takes_the_server_with_it
// 2019-14850  the drive is opened before the client may have it
//             below; before authentication: nbd_handshake/a_client_without_tls_learns_something_where_tls_is_required
// 2019-14851  INFO, then GO: the drive is opened twice
//             below
// 2024-7409   a client in its handshake while the server stops
//             below
// 2025-47711  extents of more than 4 GiB
//             nbd_reply/extents_longer_than_the_request_overflow_its_length
// 2025-47712  a block status rounded up to more than 4 GiB
//             nbd_pieces/whole_blocks_around_4_gib_are_asked_for_as_none
// 2021-3716   an option sent in the clear is kept across STARTTLS
//             nbd_handshake/what_was_agreed_on_in_plain_counts_in_tls
// 2013-6410   an address matches a part of an access list's entry
//             there is no access list
#define BOOST_TEST_DYN_LINK
#include <libnbd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/test/unit_test.hpp>
#include <future>
#include <list>
#include <thread>

#include "fusefs/nbd_server/nbd_listener.h"
#include "tests/unit/memory_export.h"
#include "tests/unit/nbd_client_handle.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::nbd {
namespace {

struct Bench {
    TemporaryFolder folder;
    const std::string socket = folder.path() + "/nbd.sock";
    EventLoop loop;
    BufferPool buffers;
    MemoryDrive drive{loop, 1 << 20};
    OneView catalogue{loop, drive, Mode::write};
    NbdListener listener{loop, buffers, catalogue, {}};
    std::thread thread;
    bool stopped = false;

    Bench() {
        rpc::Endpoint endpoint;
        endpoint.path = socket;
        BOOST_REQUIRE(listener.listen(endpoint).ok());
        thread = std::thread([this] { loop.run(); });
    }
    ~Bench() {
        if (!stopped) {
            stop().wait();
        }
        loop.stop();
        thread.join();
    }
    std::future<void> stop() {
        stopped = true;
        auto told = std::make_shared<std::promise<void>>();
        loop.post([this, told] { listener.stop([told] { told->set_value(); }); });
        return told->get_future();
    }
    template <class Work>
    auto on_loop(Work work) {
        std::packaged_task<decltype(work())()> task(std::move(work));
        auto outcome = task.get_future();
        loop.post([&task] { task(); });
        return outcome.get();
    }
};

Client haggling(const Bench& bench) {
    Client client(nbd_create());
    nbd_set_opt_mode(client.get(), true);
    nbd_set_export_name(client.get(), "blade01/x");
    BOOST_REQUIRE_MESSAGE(nbd_connect_unix(client.get(), bench.socket.c_str()) == 0, nbd_get_error());
    return client;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_past_holes)

BOOST_AUTO_TEST_CASE(a_drive_is_opened_before_its_client_has_asked_for_it) {
    Bench bench;
    const auto client = haggling(bench);
    BOOST_TEST(nbd_opt_list(client.get(), {[](void*, const char*, const char*) { return 0; }, nullptr, nullptr}) == 1);
    BOOST_TEST(nbd_opt_info(client.get()) == 0);
    nbd_add_meta_context(client.get(), LIBNBD_CONTEXT_BASE_ALLOCATION);
    BOOST_TEST(nbd_opt_list_meta_context(client.get(), {[](void*, const char*) { return 0; }, nullptr, nullptr}) == 1);
    BOOST_TEST(bench.on_loop([&] { return bench.catalogue.opened; }) == 0);
    BOOST_REQUIRE(nbd_opt_go(client.get()) == 0);
    BOOST_TEST(bench.on_loop([&] { return bench.catalogue.opened; }) == 1);
}

BOOST_AUTO_TEST_CASE(an_export_that_was_asked_about_is_opened_twice_or_breaks_the_server) {
    Bench bench;
    const auto client = haggling(bench);
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(nbd_opt_info(client.get()) == 0);
        BOOST_TEST(nbd_get_size(client.get()) == 1 << 20);
    }
    BOOST_REQUIRE(nbd_opt_go(client.get()) == 0);
    char byte = 0;
    BOOST_TEST(nbd_pread(client.get(), &byte, 1, 0, 0) == 0);
    BOOST_TEST(bench.on_loop([&] { return bench.catalogue.opened; }) == 1);
    BOOST_TEST(bench.on_loop([&] { return bench.catalogue.view.use_count(); }) == 2);
}

BOOST_AUTO_TEST_CASE(a_client_in_its_handshake_keeps_the_server_from_stopping_or_breaks_it) {
    Bench bench;
    std::list<UniqueFd> silent;
    for (const std::string& said : {std::string(), std::string("\0\0\0\3", 4), std::string("\0\0\0\3IHAVE", 9)}) {
        UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        bench.socket.copy(address.sun_path, sizeof address.sun_path - 1);
        BOOST_REQUIRE(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        char greeting[18];
        BOOST_REQUIRE(recv(fd.get(), greeting, sizeof greeting, MSG_WAITALL) == sizeof greeting);
        BOOST_REQUIRE(send(fd.get(), said.data(), said.size(), 0) == static_cast<ssize_t>(said.size()));
        silent.push_back(std::move(fd));
    }
    const auto haggler = haggling(bench);
    auto stopped = bench.stop();
    silent.front().reset();  // gone while it stops
    BOOST_TEST((stopped.wait_for(std::chrono::seconds(20)) == std::future_status::ready));
    char byte = 0;
    BOOST_TEST(recv(silent.back().get(), &byte, 1, 0) <= 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
