// What the channel does with what a dead server left. The kernel is the other end of a pair of sockets that keep the
// bounds of messages, as the device does.
#define BOOST_TEST_DYN_LINK
#include "fusefs/fuse_front/fuse_channel.h"

#include <sys/socket.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

namespace drivebay {

namespace {

// Keeps what it is asked.
struct HeldView final : View {
    HeldView() { view_info.geometry.size = 1 << 20; }
    const ViewInfo& info() const override { return view_info; }
    void submit(IoRequest& request) override { asked.push_back(&request); }
    bool ended() const override { return false; }
    std::uint64_t on_end(std::function<void()>) override { return 1; }
    void forget(std::uint64_t) override {}

    ViewInfo view_info;
    std::vector<IoRequest*> asked;
};

struct Successor {
    Successor() {
        std::array<int, 2> ends{};
        BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
        kernel.reset(ends[0]);
        device.reset(ends[1]);
        FuseHandle handle;
        handle.view = view;
        handle.changed = std::make_shared<FuseChanged>(0);
        handle.writable = true;
        file = handles.add(std::move(handle), 1);
    }

    // A write that a server before this one had answered, or was about to.
    void left_answered(std::uint64_t unique, std::uint64_t handle) {
        KeptRequests before(memory->layout());
        const std::span<std::byte> room = before.room();
        struct {
            fuse_in_header header{};
            fuse_write_in arguments{};
        } write;
        write.header.opcode = FUSE_WRITE;
        write.header.unique = unique;
        write.header.len = KeptRequests::write_header + length;
        write.arguments.fh = handle;
        write.arguments.size = length;
        std::memcpy(room.data(), &write, sizeof write);
        before.answered(before.keep(room.first(write.header.len)));
    }

    void start() {
        requests.emplace(memory->layout());
        shared.emplace(FuseChannel::Shared{handles, *requests, [](std::span<const std::byte>) {}, [] {}});
        channel.emplace(loop, device.get(), *shared);
        channel->start(false);
    }

    // The next answer's number and error; nothing: there is none.
    std::optional<std::pair<std::uint64_t, int>> answer() {
        std::array<std::byte, 4096> message{};
        fuse_out_header header{};
        if (recv(kernel.get(), message.data(), message.size(), 0) < static_cast<ssize_t>(sizeof header)) {
            return std::nullopt;
        }
        std::memcpy(&header, message.data(), sizeof header);
        return std::pair(header.unique, header.error);
    }

    static constexpr std::uint32_t length = 4096;

    EventLoop loop;
    UniqueFd kernel;
    UniqueFd device;
    Result<KeptMemory> memory = KeptMemory::create();
    FuseHandles handles{memory->layout()};
    std::shared_ptr<HeldView> view = std::make_shared<HeldView>();
    std::uint64_t file = 0;
    std::optional<KeptRequests> requests;
    std::optional<FuseChannel::Shared> shared;
    std::optional<FuseChannel> channel;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(fuse_channel, Successor)

BOOST_AUTO_TEST_CASE(a_kill_before_an_early_answer_leaves_its_asker_waiting) {
    left_answered(8, file);
    start();
    const auto told = answer();
    BOOST_REQUIRE(told.has_value());
    BOOST_TEST(told->first == 8U);
    BOOST_TEST(told->second == 0);
    BOOST_REQUIRE(view->asked.size() == 1U);
    BOOST_TEST(view->asked[0]->answered_early);
    BOOST_TEST((view->asked[0]->asked_at != Instant{}));
    view->asked[0]->done(*view->asked[0], 0);
    BOOST_TEST(!answer().has_value());
    BOOST_TEST(KeptRequests(memory->layout()).left().empty());
}

BOOST_AUTO_TEST_CASE(a_write_to_a_file_that_is_gone_is_never_answered) {
    left_answered(8, file + 1);
    start();
    const auto told = answer();
    BOOST_REQUIRE(told.has_value());
    BOOST_TEST(told->first == 8U);
    BOOST_TEST(told->second == -EBADF);
    BOOST_TEST(view->asked.empty());
    BOOST_TEST(KeptRequests(memory->layout()).left().empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
