// BLOCK_STATUS and CACHE from one end to the other: a libnbd client, or a remote drive, at a listener over a memory
// drive.
#define BOOST_TEST_DYN_LINK
#include <libnbd.h>

#include <boost/test/unit_test.hpp>
#include <future>
#include <thread>

#include "fusefs/nbd_client/nbd_drive.h"
#include "fusefs/nbd_server/nbd_listener.h"
#include "tests/unit/memory_export.h"
#include "tests/unit/nbd_client_handle.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::nbd {
namespace {

constexpr std::size_t size = std::size_t{16} << 20;
constexpr std::size_t block = MemoryDrive::block;

struct Bench {
    TemporaryFolder folder;
    const std::string socket = folder.path() + "/nbd.sock";
    EventLoop loop;
    BufferPool buffers;
    MemoryDrive drive{loop, size};
    OneView catalogue;
    NbdListener listener{loop, buffers, catalogue, {}};
    std::thread thread;

    explicit Bench(Mode mode = Mode::write) : catalogue(loop, drive, mode) {
        rpc::Endpoint endpoint;
        endpoint.path = socket;
        BOOST_REQUIRE(listener.listen(endpoint).ok());
        thread = std::thread([this] { loop.run(); });
    }
    ~Bench() {
        loop.post([this] { listener.stop([this] { loop.stop(); }); });
        thread.join();
    }
    template <class Work>
    auto on_loop(Work work) {
        std::packaged_task<decltype(work())()> task(std::move(work));
        auto outcome = task.get_future();
        loop.post([&task] { task(); });
        return outcome.get();
    }
    // Every second block holds data, until `end`.
    void make_stripes(std::size_t end) {
        on_loop([&] {
            for (std::size_t at = 0; at < end; at += 2 * block) {
                drive.medium[at] = std::byte{1};
            }
        });
    }
};

Client connected(const Bench& bench, bool structured = true, bool context = true) {
    Client made(nbd_create());
    nbd_set_export_name(made.get(), "blade01/x@7");
    nbd_set_request_structured_replies(made.get(), structured);
    nbd_set_strict_mode(made.get(), 0);
    if (context) {
        nbd_add_meta_context(made.get(), LIBNBD_CONTEXT_BASE_ALLOCATION);
        nbd_add_meta_context(made.get(), "qemu:dirty-bitmap:none");
    }
    BOOST_REQUIRE_MESSAGE(nbd_connect_unix(made.get(), bench.socket.c_str()) == 0, nbd_get_error());
    return made;
}

using Told = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // length, state

int keep(void* into, const char* context, std::uint64_t, std::uint32_t* entries, std::size_t count, int*) {
    BOOST_TEST(context == std::string(LIBNBD_CONTEXT_BASE_ALLOCATION));
    for (std::size_t i = 0; i + 1 < count; i += 2) {
        static_cast<Told*>(into)->emplace_back(entries[i], entries[i + 1]);
    }
    return 0;
}

Told ask(const Client& client, std::uint64_t offset, std::uint64_t length, std::uint32_t flags = 0) {
    Told told;
    BOOST_TEST(nbd_block_status(client.get(), length, offset, {keep, &told, nullptr}, flags) == 0, nbd_get_error());
    return told;
}

int error_of(int result) {
    return result == 0 ? 0 : nbd_get_errno();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_extents)

BOOST_AUTO_TEST_CASE(holes_are_told_as_data_or_data_as_holes) {
    Bench bench;
    bench.make_stripes(4 * block);
    const Client client = connected(bench);
    BOOST_REQUIRE(nbd_can_meta_context(client.get(), LIBNBD_CONTEXT_BASE_ALLOCATION) == 1);
    BOOST_TEST(nbd_can_meta_context(client.get(), "qemu:dirty-bitmap:none") == 0);
    BOOST_TEST((ask(client, 0, size) ==
                Told{{block, 0}, {block, 3}, {block, 0}, {static_cast<std::uint32_t>(size - 3 * block), 3}}));
    BOOST_TEST((ask(client, 100, 5000) == Told{{block - 100, 0}, {5100 - block, 3}}));
    BOOST_TEST((ask(client, size - 1, 1) == Told{{1, 3}}));
}

BOOST_AUTO_TEST_CASE(one_extent_is_asked_for_and_more_come) {
    Bench bench;
    bench.make_stripes(size);
    const Client client = connected(bench);
    BOOST_TEST((ask(client, 0, size, LIBNBD_CMD_FLAG_REQ_ONE) == Told{{block, 0}}));
    BOOST_TEST((ask(client, block, 512, LIBNBD_CMD_FLAG_REQ_ONE) == Told{{512, 3}}));
}

BOOST_AUTO_TEST_CASE(an_answer_has_no_bound) {
    Bench bench;
    bench.make_stripes(size);
    const Told told = ask(connected(bench), 0, size);
    BOOST_TEST(told.size() == most_extents);
    BOOST_TEST(told.back().first == block);
}

BOOST_AUTO_TEST_CASE(a_block_status_is_answered_that_was_not_negotiated) {
    Bench bench;
    for (const auto& [structured, context] : {std::pair{true, false}, std::pair{false, true}}) {
        const Client client = connected(bench, structured, context);
        Told told;
        BOOST_TEST(error_of(nbd_block_status(client.get(), 512, 0, {keep, &told, nullptr}, 0)) == EINVAL);
    }
    BOOST_TEST(bench.on_loop([&] { return bench.drive.seen.empty(); }));
}

BOOST_AUTO_TEST_CASE(a_reader_may_not_ask_or_one_whose_epoch_ended_may) {
    Bench bench(Mode::read);
    const Client client = connected(bench);
    BOOST_TEST(nbd_can_cache(client.get()) == 1);
    BOOST_TEST(nbd_cache(client.get(), size, 0, 0) == 0);
    BOOST_TEST((ask(client, 0, 512) == Told{{512, 3}}));
    BOOST_TEST((bench.on_loop([&] { return bench.drive.seen; }) ==
                std::vector{IoOperation::cache, IoOperation::block_status}));
    const protocol::Counters counters = bench.on_loop([&] { return bench.catalogue.view->counters(); });
    BOOST_TEST(counters.writes == 0u);
    BOOST_TEST(counters.reads == 0u);
    bench.on_loop([&] { bench.catalogue.view->end([] {}); });
    Told told;
    BOOST_TEST(error_of(nbd_cache(client.get(), 512, 0, 0)) == ESHUTDOWN);
    BOOST_TEST(error_of(nbd_block_status(client.get(), 512, 0, {keep, &told, nullptr}, 0)) == ESHUTDOWN);
    BOOST_TEST(bench.on_loop([&] { return bench.drive.seen.size(); }) == 2u);
}

BOOST_AUTO_TEST_CASE(a_drives_error_is_lost_among_the_chunks) {
    Bench bench;
    const Client client = connected(bench);
    bench.on_loop([&] { bench.drive.error = EIO; });
    Told told;
    std::vector<char> data(512);
    BOOST_TEST(error_of(nbd_block_status(client.get(), 512, 0, {keep, &told, nullptr}, 0)) == EIO);
    BOOST_TEST(error_of(nbd_pread(client.get(), data.data(), data.size(), 0, 0)) == EIO);
    BOOST_TEST(error_of(nbd_cache(client.get(), 512, 0, 0)) == EIO);
    bench.on_loop([&] { bench.drive.error = 0; });
    BOOST_TEST(nbd_pread(client.get(), data.data(), data.size(), 0, 0) == 0);
}

// A remote drive asks the server on behalf of whoever asks it.
BOOST_AUTO_TEST_CASE(a_remote_drive_keeps_what_it_is_told_to_itself) {
    Bench bench;
    bench.make_stripes(4 * block);
    std::promise<std::unique_ptr<NbdDrive>> opened;
    NbdDriveSettings settings;
    settings.uri = "nbd+unix:///blade01/x@7?socket=" + bench.socket;
    settings.reconnect = Reconnect::barrier;
    bench.loop.post([&] {
        NbdDrive::open(bench.loop, settings, [&](Result<std::unique_ptr<NbdDrive>> drive) {
            BOOST_REQUIRE_MESSAGE(drive.ok(), (drive ? "" : drive.error().message));
            opened.set_value(std::move(*drive));
        });
    });
    std::unique_ptr<NbdDrive> remote = opened.get_future().get();
    const auto perform = [&](IoOperation operation, std::uint64_t offset, std::uint32_t length, ExtentList* extents) {
        std::promise<int> outcome;
        IoRequest request;
        request.operation = operation;
        request.offset = offset;
        request.length = length;
        request.extents = extents;
        request.context = &outcome;
        request.done = [](IoRequest& done, int error) {
            static_cast<std::promise<int>*>(done.context)->set_value(error);
        };
        bench.loop.post([&] { remote->submit(request); });
        return outcome.get_future().get();
    };
    ExtentList extents;
    BOOST_TEST(perform(IoOperation::block_status, 100, 4 * block, &extents) == 0);
    BOOST_TEST(
        (extents.found ==
         std::vector<Extent>{
             {block - 100, false, false}, {block, true, true}, {block, false, false}, {block + 100, true, true}}));
    ExtentList one;
    one.limit = 1;
    BOOST_TEST(perform(IoOperation::block_status, block, 4 * block, &one) == 0);
    BOOST_TEST((one.found == std::vector<Extent>{{block, true, true}}));
    BOOST_TEST(perform(IoOperation::cache, 0, size, nullptr) == 0);
    BOOST_TEST(perform(IoOperation::block_status, size - 1, 2, &one) == EINVAL);
    BOOST_TEST((bench.on_loop([&] { return bench.drive.seen; }) ==
                std::vector{IoOperation::block_status, IoOperation::block_status, IoOperation::cache}));
    std::promise<void> closed;
    bench.loop.post([&] { remote->close([&] { closed.set_value(); }); });
    closed.get_future().wait();
    bench.on_loop([&] {
        remote.reset();
        return 0;
    });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
