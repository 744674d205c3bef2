#define BOOST_TEST_DYN_LINK
#include <fcntl.h>
#include <libnbd.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <deque>
#include <fstream>
#include <future>
#include <random>
#include <thread>

#include "fusefs/engine/admitted_view.h"
#include "fusefs/nbd_server/nbd_listener.h"
#include "tests/unit/nbd_client_handle.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::nbd {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t drive_size = std::size_t{64} << 20;

// A drive in memory that can be told to keep requests in flight.
class HeldDrive final : public Drive {
public:
    explicit HeldDrive(EventLoop& loop) : loop_(loop), memory_(drive_size) {}
    DriveGeometry geometry() const override { return {drive_size, 512, false, false}; }
    void submit(IoRequest& request) override {
        in_flight_.push_back(&request);
        bytes_ += request.data == nullptr ? 0 : request.length;
        most_bytes_ = std::max(most_bytes_, bytes_);
        ++submitted_;
        if (!held_) {
            loop_.at_round_end([this] { complete_all(); });
        }
    }
    void close(std::function<void()> closed) override { loop_.at_round_end(std::move(closed)); }
    std::string failure() const override { return ""; }

    // Reads are answered with `file` instead of bytes, every second one.
    void lend(std::shared_ptr<const UniqueFd> file) { lent_ = std::move(file); }
    void hold() { held_ = true; }
    void release() {
        held_ = false;
        complete_all();
    }
    std::byte at(std::size_t offset) const { return memory_[offset]; }
    std::size_t most_bytes() const { return most_bytes_; }
    std::size_t submitted() const { return submitted_; }

private:
    void complete_all() {
        while (!held_ && !in_flight_.empty()) {
            IoRequest& request = *in_flight_.front();
            in_flight_.pop_front();
            bytes_ -= request.data == nullptr ? 0 : request.length;
            std::byte* const place = memory_.data() + request.offset;
            switch (request.operation) {
                case IoOperation::read:
                    if (lent_ && request.may_lend && ++reads_ % 2 == 0) {
                        request.lent = lent_;
                    } else {
                        std::memcpy(request.data, place, request.length);
                    }
                    break;
                case IoOperation::write: std::memcpy(place, request.data, request.length); break;
                case IoOperation::write_zeroes: std::memset(place, 0, request.length); break;
                default: break;
            }
            request.done(request, 0);
        }
    }
    EventLoop& loop_;
    std::vector<std::byte> memory_;
    std::deque<IoRequest*> in_flight_;
    bool held_ = false;
    std::shared_ptr<const UniqueFd> lent_;
    unsigned reads_ = 0;
    std::size_t bytes_ = 0;
    std::size_t most_bytes_ = 0;
    std::size_t submitted_ = 0;
};

// Views of one drive, by epoch; the last one of a blade is the admitted one.
class Shelf final : public Catalogue {
public:
    Shelf(EventLoop& loop, Drive& drive) : loop_(loop), drive_(drive) {}
    std::shared_ptr<AdmittedView> admit(const std::string& blade, Mode mode, Epoch epoch) {
        ViewInfo info;
        info.admission = {"x", blade, mode, epoch};
        info.geometry = drive_.geometry();
        info.description = "drivebay boot=b epoch=" + std::to_string(epoch);
        return views_[blade] = std::make_shared<AdmittedView>(loop_, drive_, scheduler_, info);
    }
    void list_blades(std::function<void(std::vector<std::string>)> callback) override {
        std::vector<std::string> names;
        for (const auto& [blade, view] : views_) {
            names.push_back(blade);
        }
        callback(names);
    }
    void list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) override {
        callback(std::vector<ViewInfo>{views_.at(blade)->info()});
    }
    void look_up(const std::string& blade, const DriveReference& name,
                 std::function<void(Result<ViewInfo>)> callback) override {
        const auto view = find(blade, name);
        callback(view ? Result<ViewInfo>(view->info()) : Result<ViewInfo>(Error{ENOENT, "no"}));
    }
    void open(const std::string& blade, const DriveReference& name, Mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override {
        const std::shared_ptr<View> view = find(blade, name);
        callback(view ? Result<std::shared_ptr<View>>(view) : Result<std::shared_ptr<View>>(Error{ENOENT, "no"}));
    }

private:
    std::shared_ptr<AdmittedView> find(const std::string& blade, const DriveReference& name) {
        const auto found = views_.find(blade);
        const bool fits = found != views_.end() && name.drive == "x" && !found->second->ended() &&
                          (name.epoch == 0 || name.epoch == found->second->info().admission.epoch);
        return fits ? found->second : nullptr;
    }
    EventLoop& loop_;
    Drive& drive_;
    DriveScheduler scheduler_{loop_, {}};
    std::map<std::string, std::shared_ptr<AdmittedView>> views_;
};

struct Bench {
    TemporaryFolder folder;
    const std::string socket = folder.path() + "/nbd.sock";
    EventLoop loop;
    BufferPool buffers;
    HeldDrive drive{loop};
    Shelf shelf{loop, drive};
    NbdListener listener{loop, buffers, shelf, {}};
    std::thread thread;

    Bench() {
        rpc::Endpoint endpoint;
        endpoint.path = socket;
        BOOST_REQUIRE(listener.listen(endpoint).ok());
        shelf.admit("blade01", Mode::write, 7);
        thread = std::thread([this] { loop.run(); });
    }
    ~Bench() {
        loop.post([this] {
            drive.release();
            listener.stop([this] { loop.stop(); });
        });
        thread.join();
    }

    // Runs `work` on the loop's thread and waits for it.
    template <class Work>
    auto on_loop(Work work) {
        std::packaged_task<decltype(work())()> task(std::move(work));
        auto outcome = task.get_future();
        loop.post([&task] { task(); });
        return outcome.get();
    }
    void until(std::function<bool()> condition) {
        const Instant limit = BootClock::now() + 20s;
        while (!on_loop(condition)) {
            BOOST_REQUIRE(BootClock::now() < limit);
            std::this_thread::yield();
        }
    }
};

Client client(const std::string& name, bool structured = true) {
    Client made(nbd_create());
    nbd_set_export_name(made.get(), name.c_str());
    nbd_set_full_info(made.get(), true);
    nbd_set_request_structured_replies(made.get(), structured);
    nbd_set_strict_mode(made.get(), 0);
    return made;
}

Client connected(const Bench& bench, const std::string& name, bool structured = true) {
    Client made = client(name, structured);
    BOOST_REQUIRE_MESSAGE(nbd_connect_unix(made.get(), bench.socket.c_str()) == 0, nbd_get_error());
    return made;
}

bool is_refused(const Bench& bench, const std::string& name) {
    const Client made = client(name);
    return nbd_connect_unix(made.get(), bench.socket.c_str()) != 0;
}

std::vector<char> bytes(std::size_t size, char value) { return std::vector<char>(size, value); }

// Runs the client's state machine until `condition` or the limit.
bool turn_until(nbd_handle* handle, const std::function<bool()>& condition) {
    const Instant limit = BootClock::now() + 20s;
    while (!condition() && BootClock::now() < limit) {
        if (nbd_poll(handle, 50) < 0) {
            return condition();
        }
    }
    return condition();
}

// A client that says what a well-bred one would not.
class RawClient {
public:
    explicit RawClient(const Bench& bench) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        bench.socket.copy(address.sun_path, sizeof address.sun_path - 1);
        BOOST_REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    void begin(const std::string& name) {
        std::string hello;
        append<std::uint32_t>(hello, client_fixed_newstyle | client_no_zeroes);
        append(hello, option_magic);
        append(hello, static_cast<std::uint32_t>(Option::export_name));
        append(hello, static_cast<std::uint32_t>(name.size()));
        say(hello + name);
        hear(18 + 10);
    }
    void say(const std::string& text) {
        std::size_t at = 0;
        while (at < text.size()) {
            const ssize_t sent = ::send(fd_.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
            if (sent <= 0) {
                return;
            }
            at += static_cast<std::size_t>(sent);
        }
    }
    // What can be said without waiting; the number of bytes.
    std::size_t say_some(const std::string& text) {
        const ssize_t sent = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return sent < 0 ? 0 : static_cast<std::size_t>(sent);
    }
    // Short at the end of the connection.
    std::string hear(std::size_t size) {
        std::string heard(size, '\0');
        std::size_t at = 0;
        while (at < size) {
            const ssize_t got = ::recv(fd_.get(), heard.data() + at, size - at, 0);
            if (got <= 0) {
                break;
            }
            at += static_cast<std::size_t>(got);
        }
        heard.resize(at);
        return heard;
    }

private:
    UniqueFd fd_;
};

std::string request(Command command, std::uint64_t cookie, std::uint64_t offset, std::uint32_t length) {
    std::string out;
    append(out, request_magic);
    append<std::uint16_t>(out, 0);
    append(out, static_cast<std::uint16_t>(command));
    append(out, cookie);
    append(out, offset);
    append(out, length);
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_server)

BOOST_AUTO_TEST_CASE(what_a_client_writes_is_not_what_it_reads) {
    Bench bench;
    for (const bool structured : {true, false}) {
        const Client nbd = connected(bench, "blade01/x@7", structured);
        BOOST_TEST(nbd_get_size(nbd.get()) == static_cast<std::int64_t>(drive_size));
        BOOST_TEST(nbd_is_read_only(nbd.get()) == 0);
        BOOST_TEST(nbd_can_multi_conn(nbd.get()) == 1);
        char* const description = nbd_get_export_description(nbd.get());
        BOOST_TEST(std::string(description) == "drivebay boot=b epoch=7");
        free(description);
        std::vector<char> written(5 << 20);
        for (std::size_t i = 0; i < written.size(); ++i) {
            written[i] = static_cast<char>(i * 7 + (structured ? 1 : 2));
        }
        BOOST_REQUIRE(nbd_pwrite(nbd.get(), written.data(), written.size(), 1001, LIBNBD_CMD_FLAG_FUA) == 0);
        BOOST_REQUIRE(nbd_flush(nbd.get(), 0) == 0);
        BOOST_REQUIRE(nbd_zero(nbd.get(), 100, 2000, 0) == 0);
        BOOST_REQUIRE(nbd_trim(nbd.get(), 4096, 8192, 0) == 0);
        std::memset(written.data() + 999, 0, 100);
        std::vector<char> read(written.size());
        BOOST_REQUIRE(nbd_pread(nbd.get(), read.data(), read.size(), 1001, 0) == 0);
        BOOST_TEST((read == written));
        BOOST_TEST(nbd_pread(nbd.get(), read.data(), 512, drive_size - 256, 0) == -1);
        BOOST_TEST(nbd_get_errno() == EINVAL);
        BOOST_TEST(nbd_pwrite(nbd.get(), read.data(), 512, drive_size - 256, 0) == -1);
        BOOST_TEST(nbd_get_errno() == ENOSPC);
        BOOST_REQUIRE(nbd_pread(nbd.get(), read.data(), 512, 0, 0) == 0);
        BOOST_TEST(nbd_shutdown(nbd.get(), 0) == 0);
    }
}

// Bytes from a buffer and bytes from a file in turns, more than any socket holds at once.
BOOST_AUTO_TEST_CASE(lent_bytes_come_torn_or_in_the_wrong_place) {
    Bench bench;
    const Client nbd = connected(bench, "blade01/x");
    std::vector<char> written(24 << 20);
    std::minstd_rand random(11);
    std::generate(written.begin(), written.end(), [&] { return static_cast<char>(random()); });
    const std::string path = bench.folder.path() + "/lent";
    std::ofstream(path, std::ios::binary).write(written.data(), static_cast<std::streamsize>(written.size()));
    BOOST_REQUIRE(nbd_pwrite(nbd.get(), written.data(), written.size(), 0, 0) == 0);
    bench.on_loop([&] { bench.drive.lend(std::make_shared<const UniqueFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC))); });
    std::vector<char> read(written.size());
    std::size_t answered = 0;
    std::size_t asked = 0;
    const auto count = [](void* data, int* error) {
        *static_cast<std::size_t*>(data) += *error == 0 ? 1 : 0;
        return 1;
    };
    for (std::size_t at = 0; at < read.size(); ++asked) {
        const std::size_t length = std::min<std::size_t>(read.size() - at, 1 + random() % (700 << 10));
        BOOST_REQUIRE(nbd_aio_pread(nbd.get(), read.data() + at, length, at, {count, &answered, nullptr}, 0) > 0);
        at += length;
    }
    BOOST_TEST(turn_until(nbd.get(), [&] { return answered == asked; }));
    BOOST_TEST((read == written));
}

BOOST_AUTO_TEST_CASE(a_write_without_a_write_lease_lands) {
    Bench bench;
    bench.on_loop([&] { bench.shelf.admit("blade02", Mode::read, 8); });
    const Client nbd = connected(bench, "blade02/x");
    BOOST_TEST(nbd_is_read_only(nbd.get()) == 1);
    const std::vector<char> data = bytes(512, 'w');
    BOOST_TEST(nbd_pwrite(nbd.get(), data.data(), 512, 0, 0) == -1);
    BOOST_TEST(nbd_get_errno() == EPERM);
    BOOST_TEST(nbd_zero(nbd.get(), 512, 0, 0) == -1);
    BOOST_TEST(nbd_get_errno() == EPERM);
    BOOST_TEST(nbd_trim(nbd.get(), 512, 0, 0) == -1);
    BOOST_TEST(nbd_get_errno() == EPERM);
    std::vector<char> read(512);
    BOOST_TEST(nbd_pread(nbd.get(), read.data(), 512, 0, 0) == 0);
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(0); }) == std::byte{0}));
}

BOOST_AUTO_TEST_CASE(a_name_that_is_not_admitted_is_served_or_missing_in_the_list) {
    Bench bench;
    bench.on_loop([&] { bench.shelf.admit("blade02", Mode::read, 8); });
    for (const char* name : {"", "x", "blade01", "blade01/", "blade01/y", "blade01/x@6", "blade01/x@8", "blade01/x@7#0",
                             "blade01/x@0", "blade01/x@99999999999999999999", "/x", "@local/x", "blade03/x", "blade01/x/"}) {
        BOOST_TEST(is_refused(bench, name), name);
    }
    const Client nbd = client("");
    nbd_set_opt_mode(nbd.get(), true);
    BOOST_REQUIRE(nbd_connect_unix(nbd.get(), bench.socket.c_str()) == 0);
    std::vector<std::string> names;
    const auto keep = [](void* data, const char* name, const char*) {
        static_cast<std::vector<std::string>*>(data)->push_back(name);
        return 0;
    };
    BOOST_TEST(nbd_opt_list(nbd.get(), {keep, &names, nullptr}) == 2);
    BOOST_TEST((names == std::vector<std::string>{"blade01/x", "blade02/x"}));
}

// The server's half of the old-connection test: what is in flight ends before the next instance is answered.
BOOST_AUTO_TEST_CASE(a_late_write_of_an_old_instance_lands_on_the_new_ones) {
    Bench bench;
    const Client old = connected(bench, "blade01/x@7#1");
    bench.on_loop([&] { bench.drive.hold(); });
    const std::vector<char> old_data = bytes(4096, 'o');
    BOOST_REQUIRE(nbd_aio_pwrite(old.get(), old_data.data(), 4096, 0, {}, 0) >= 0);
    turn_until(old.get(), [&] { return bench.on_loop([&] { return bench.drive.submitted() == 1; }); });

    const Client next = client("blade01/x@7#2");
    BOOST_REQUIRE(nbd_aio_connect_unix(next.get(), bench.socket.c_str()) == 0);
    // The old connection is shut: so the new one has arrived. It is not answered while the write is in flight.
    BOOST_REQUIRE(turn_until(old.get(), [&] {
        nbd_poll(next.get(), 0);
        return nbd_aio_is_dead(old.get()) == 1 || nbd_aio_is_closed(old.get()) == 1;
    }));
    nbd_poll(next.get(), 50);
    BOOST_TEST(nbd_aio_is_connecting(next.get()) == 1);

    bench.on_loop([&] { bench.drive.release(); });
    BOOST_REQUIRE(turn_until(next.get(), [&] { return nbd_aio_is_ready(next.get()) == 1; }));
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(0); }) == std::byte{'o'}));
    const std::vector<char> new_data = bytes(4096, 'n');
    BOOST_REQUIRE(nbd_pwrite(next.get(), new_data.data(), 4096, 0, 0) == 0);
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(0); }) == std::byte{'n'}));
    BOOST_TEST(is_refused(bench, "blade01/x@7#1"));
    const Client beside = connected(bench, "blade01/x@7#2");  // multi-conn
    BOOST_TEST(nbd_pread(next.get(), std::vector<char>(512).data(), 512, 0, 0) == 0);
}

BOOST_AUTO_TEST_CASE(the_rest_of_a_half_sent_write_of_an_old_instance_is_applied) {
    Bench bench;
    RawClient old(bench);
    old.begin("blade01/x@7#1");
    old.say(request(Command::write, 1, 0, 4096) + std::string(2000, 'o'));
    const Client next = connected(bench, "blade01/x@7#2");
    old.say(std::string(2096, 'o'));
    BOOST_TEST(old.hear(16).empty());
    const std::vector<char> data = bytes(512, 'n');
    BOOST_REQUIRE(nbd_pwrite(next.get(), data.data(), 512, 8192, 0) == 0);
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(0); }) == std::byte{0}));
}

BOOST_AUTO_TEST_CASE(an_ended_epoch_is_written_or_its_connection_stays) {
    Bench bench;
    const Client nbd = connected(bench, "blade01/x");
    RawClient stranger(bench);
    stranger.begin("blade01/x");
    const std::vector<char> data = bytes(512, 'w');
    std::shared_ptr<AdmittedView> view;
    bool drained = false;
    bench.on_loop([&] { bench.drive.hold(); });
    BOOST_REQUIRE(nbd_aio_pwrite(nbd.get(), data.data(), 512, 0, {}, 0) >= 0);
    turn_until(nbd.get(), [&] { return bench.on_loop([&] { return bench.drive.submitted() == 1; }); });
    bench.on_loop([&] {
        bench.shelf.look_up("blade01", {"x", 0, 0}, [](const Result<ViewInfo>&) {});
        bench.shelf.open("blade01", {"x", 7, 0}, Mode::write, [&](Result<std::shared_ptr<View>> opened) {
            view = std::static_pointer_cast<AdmittedView>(*opened);
        });
        view->end([&drained] { drained = true; });
    });
    BOOST_TEST(!bench.on_loop([&] { return drained; }));
    stranger.say(request(Command::write, 9, 4096, 512) + std::string(512, 's'));
    const std::string answer = stranger.hear(simple_reply_size);
    BOOST_REQUIRE_EQUAL(answer.size(), simple_reply_size);
    BOOST_TEST(get<std::uint32_t>(reinterpret_cast<const std::byte*>(answer.data()) + 4) == 108u);
    BOOST_TEST(!bench.on_loop([&] { return drained; }));
    bench.on_loop([&] { bench.drive.release(); });
    bench.until([&] { return drained; });
    BOOST_TEST(stranger.hear(1).empty());  // the connection ends
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(4096); }) == std::byte{0}));
    BOOST_TEST((bench.on_loop([&] { return bench.drive.at(0); }) == std::byte{'w'}));
    bench.on_loop([&] { bench.shelf.admit("blade01", Mode::write, 8); });
    BOOST_TEST(is_refused(bench, "blade01/x@7"));
    BOOST_TEST(is_refused(bench, "blade01/x@7#9"));
    connected(bench, "blade01/x@8");
}

BOOST_AUTO_TEST_CASE(a_client_that_only_asks_makes_the_server_hold_all_of_it) {
    Bench bench;
    RawClient flooder(bench);
    flooder.begin("blade01/x");
    std::string asked;
    for (std::uint64_t i = 0; i < 100; ++i) {
        asked += request(Command::read, i, 0, 1 << 20);
    }
    const std::size_t said = flooder.say_some(asked);
    bench.until([&] { return bench.drive.submitted() >= 31; });
    // Another client is served meanwhile.
    const Client nbd = connected(bench, "blade01/x");
    BOOST_TEST(nbd_pread(nbd.get(), std::vector<char>(512).data(), 512, 0, 0) == 0);
    BOOST_TEST(bench.on_loop([&] { return bench.drive.most_bytes(); }) <= largest_payload + 4096);
    BOOST_TEST(bench.on_loop([&] { return bench.drive.submitted(); }) < 40u);
    // When it reads at last, everything that it asked for comes.
    const std::size_t whole = said / request_size;
    const std::string answers = flooder.hear(whole * (simple_reply_size + (1 << 20)));
    BOOST_TEST(answers.size() == whole * (simple_reply_size + (1 << 20)));
}

BOOST_AUTO_TEST_CASE(a_refused_requests_payload_is_taken_for_requests) {
    Bench bench;
    RawClient odd(bench);
    odd.begin("blade01/x");
    odd.say(request(Command::write, 1, drive_size, 100000) + std::string(100000, 'x') +
            request(Command::read, 2, 0, 512));
    const std::string first = odd.hear(simple_reply_size);
    const std::string second = odd.hear(simple_reply_size + 512);
    BOOST_REQUIRE_EQUAL(second.size(), simple_reply_size + 512);
    BOOST_TEST(get<std::uint32_t>(reinterpret_cast<const std::byte*>(first.data()) + 4) == 28u);
    BOOST_TEST(get<std::uint32_t>(reinterpret_cast<const std::byte*>(second.data()) + 4) == 0u);
    BOOST_TEST(get<std::uint64_t>(reinterpret_cast<const std::byte*>(second.data()) + 8) == 2u);
}

// CVE-2013-7441, 2017-7539, 2024-7409: gone in the middle of anything, the server's own end included.
BOOST_AUTO_TEST_CASE(a_client_that_goes_anywhere_takes_the_server_with_it) {
    Bench bench;
    std::string hello;
    append<std::uint32_t>(hello, client_fixed_newstyle | client_no_zeroes);
    append(hello, option_magic);
    append(hello, static_cast<std::uint32_t>(Option::export_name));
    append<std::uint32_t>(hello, 13);
    hello += "blade01/x@7#3" + request(Command::write, 1, 0, 4096) + std::string(4096, 'x') + request(Command::read, 2, 0, 4096);
    for (std::size_t cut = 0; cut < hello.size(); cut += cut < 80 ? 1 : 509) {
        RawClient(bench).say(hello.substr(0, cut));
    }
    BOOST_TEST(nbd_pread(connected(bench, "blade01/x").get(), std::vector<char>(512).data(), 512, 0, 0) == 0);
    bench.on_loop([&] { bench.drive.hold(); });
    RawClient last(bench);
    last.begin("blade01/x");
    last.say(request(Command::read, 2, 0, 4096) + "half");
    bench.until([&] { return bench.drive.submitted() > 0; });
}

// The order of a withdrawal: the client hangs up and the epoch ends in one and the same round of the loop.
BOOST_AUTO_TEST_CASE(an_epoch_that_ends_with_its_client_leaves_a_timer_of_a_destroyed_connection) {
    Bench bench;
    const auto view = bench.on_loop([&] { return bench.shelf.admit("blade02", Mode::read, 8); });
    auto leaving = std::make_unique<RawClient>(bench);
    leaving->begin("blade02/x");
    std::promise<void> past_farewell;
    bench.on_loop([&] {
        // From a timer: epoll hands events out in the order in which they came, and keeps what it has just handed out.
        bench.loop.call_after(1ms, [&] {
            leaving.reset();
            bench.loop.post([&] { view->end([] {}); });
        });
        bench.loop.call_after(400ms, [&] { past_farewell.set_value(); });
    });
    past_farewell.get_future().wait();
    BOOST_TEST(nbd_pread(connected(bench, "blade01/x").get(), std::vector<char>(512).data(), 512, 0, 0) == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
