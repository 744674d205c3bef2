#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_client/nbd_drive.h"

#include <boost/test/unit_test.hpp>
#include <future>

#include "fusefs/nbd_client/nbd_negotiation.h"
#include "fusefs/nbd_client/remote_drive.h"
#include "tests/unit/nbd_server_double.h"

namespace drivebay {

namespace {

using std::chrono::milliseconds;
using State = NbdDrive::State;

// One request whose end can be waited for.
struct Asked {
    Asked(IoOperation operation, std::uint64_t offset, std::uint32_t length, std::byte fill = {})
        : memory(length, fill) {
        request.operation = operation;
        request.offset = offset;
        request.length = length;
        request.data = memory.data();
        request.context = this;
        request.done = [](IoRequest& finished, int error) {
            static_cast<Asked*>(finished.context)->outcome.set_value(error);
        };
    }
    int wait() { return outcome.get_future().get(); }

    std::vector<std::byte> memory;
    IoRequest request;
    std::promise<int> outcome;
};

struct Client {
    NbdServerDouble server;
    NbdDriveSettings settings;
    EventLoop loop;
    std::unique_ptr<NbdDrive> drive;
    std::thread thread = std::thread([this] { loop.run(); });
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<State> states;
    std::size_t states_awaited = 0;

    ~Client() {
        if (drive) {
            std::promise<void> closed;
            in_loop([&] { drive->close([&] { closed.set_value(); }); });
            closed.get_future().wait();
            in_loop([&] { drive.reset(); });
        }
        loop.stop();
        thread.join();
    }

    void in_loop(const std::function<void()>& work) {
        std::promise<void> done;
        loop.post([&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    Status open(Reconnect reconnect, bool trust = false) {
        settings.uri = server.uri("blade01/d@7");
        settings.reconnect = reconnect;
        settings.trust_reconnect = trust;
        std::promise<Status> opened;
        loop.post([&] {
            NbdDrive::open(loop, settings, [&](Result<std::unique_ptr<NbdDrive>> result) {
                if (result) {
                    drive = std::move(*result);
                    drive->on_state([this](State next) {
                        const std::lock_guard lock(mutex);
                        states.push_back(next);
                        changed.notify_all();
                    });
                }
                opened.set_value(result ? success() : Status(result.error()));
            });
        });
        return opened.get_future().get();
    }

    void submit(Asked& asked) {
        in_loop([&] { drive->submit(asked.request); });
    }

    int ask(IoOperation operation, std::uint64_t offset = 0, std::uint32_t length = 512, std::byte fill = {}) {
        Asked asked(operation, offset, operation == IoOperation::flush ? 0 : length, fill);
        submit(asked);
        return asked.wait();
    }

    // Waits until the drive has come to that state, after those that were waited for before.
    void wait_for(State wanted) {
        std::unique_lock lock(mutex);
        const bool came = changed.wait_for(lock, std::chrono::seconds(20), [&] {
            while (states_awaited < states.size() && states[states_awaited] != wanted) {
                ++states_awaited;
            }
            return states_awaited < states.size();
        });
        BOOST_REQUIRE_MESSAGE(came, "the drive never became " << to_string(wanted));
    }

    std::string failure() {
        std::string text;
        in_loop([&] { text = drive->failure(); });
        return text;
    }
};

constexpr std::byte one{1};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(nbd_drive, Client)

BOOST_AUTO_TEST_CASE(bytes_do_not_come_back) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(drive->description().epoch == 7U);
    BOOST_TEST((drive->description().kind == DriveKind::cdrom));
    BOOST_TEST(drive->geometry().size == 1U << 20);
    BOOST_TEST(ask(IoOperation::write, 4096, 8192, one) == 0);
    Asked read(IoOperation::read, 4096, 8192);
    submit(read);
    BOOST_TEST(read.wait() == 0);
    BOOST_TEST((read.memory == std::vector<std::byte>(8192, one)));
    BOOST_TEST(ask(IoOperation::read, (1 << 20) - 511) == EINVAL);
}

BOOST_AUTO_TEST_CASE(an_unanswered_write_is_lost_or_the_instance_does_not_rise) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked write(IoOperation::write, 512, 512, one);
    Asked overlapping(IoOperation::write, 512, 1024, std::byte{2});
    submit(write);
    submit(overlapping);
    server.wait_for(1);
    server.keeps_silent = false;
    server.drop();
    BOOST_TEST(write.wait() == 0);
    BOOST_TEST(overlapping.wait() == 0);
    BOOST_TEST((server.medium[512] == std::byte{2}));
    const auto seen = server.wait_for(3);
    BOOST_TEST(seen[0].length == 512U);
    BOOST_TEST(seen[1].length == 512U);
    BOOST_TEST(seen[2].length == 1024U);
    BOOST_TEST(seen[0].export_name.starts_with("blade01/d@7#"));
    BOOST_TEST(std::stoull(seen[1].export_name.substr(12)) > std::stoull(seen[0].export_name.substr(12)));
}

BOOST_AUTO_TEST_CASE(an_epoch_that_is_gone_is_waited_for) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked write(IoOperation::write, 512, 512, one);
    submit(write);
    server.wait_for(1);
    server.refuses = true;
    server.drop();
    BOOST_TEST(write.wait() == ESHUTDOWN);
    wait_for(State::ended);
    server.refuses = false;
    server.keeps_silent = false;
    BOOST_TEST(ask(IoOperation::read) == ESHUTDOWN);
    BOOST_TEST((server.medium[512] == std::byte{0}));
    BOOST_TEST(drive->refused_writes() == 1U);
}

BOOST_AUTO_TEST_CASE(a_fence_is_taken_for_a_mishap) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.error = 108;  // NBD_ESHUTDOWN
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == ESHUTDOWN);
    wait_for(State::ended);
    server.error = 0;
    BOOST_TEST(ask(IoOperation::read) == ESHUTDOWN);
}

BOOST_AUTO_TEST_CASE(answered_writes_vanish_silently_with_the_servers_machine) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    BOOST_TEST(drive->unflushed());
    server.go_away();
    server.description = "drivebay boot=second epoch=7";
    server.listen_again();
    wait_for(State::failed);
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST(failure().find("lost") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_flushed_drive_fails_with_the_servers_machine) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    BOOST_TEST(ask(IoOperation::flush) == 0);
    BOOST_TEST(!drive->unflushed());
    server.go_away();
    server.description = "drivebay boot=second epoch=7";
    Asked read(IoOperation::read, 0, 512);
    submit(read);
    server.listen_again();
    BOOST_TEST(read.wait() == 0);
    BOOST_TEST((read.memory[0] == one));
}

BOOST_AUTO_TEST_CASE(a_successor_finds_nothing_wrong_with_a_server_that_lost_what_was_written) {
    settings.unflushed_with = "another";
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST(failure().find("lost") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_successor_does_not_flush_what_was_left) {
    std::vector<std::string> noted;
    settings.unflushed_with = "first";
    settings.note_unflushed = [&](const std::string& boot_id) { noted.push_back(boot_id); };
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(drive->unflushed());
    BOOST_TEST(ask(IoOperation::flush) == 0);
    BOOST_TEST(!drive->unflushed());
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    BOOST_TEST(ask(IoOperation::flush) == 0);
    BOOST_TEST(noted == (std::vector<std::string>{"", "first", ""}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_answered_write_is_dropped_at_the_pause_limit) {
    settings.pause_limit = milliseconds(300);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked answered(IoOperation::write, 0, 512, one);
    answered.request.answered_early = true;
    submit(answered);
    BOOST_TEST(ask(IoOperation::read, 4096) == EIO);
    wait_for(State::offline);
    Asked late(IoOperation::write, 512, 512, one);
    late.request.answered_early = true;
    submit(late);
    BOOST_TEST(ask(IoOperation::write, 1024, 512, one) == EIO);
    server.keeps_silent = false;
    server.drop();  // what it was silent about is not answered any more
    BOOST_TEST(answered.wait() == 0);
    BOOST_TEST(late.wait() == 0);
    BOOST_TEST((server.medium[0] == one));
    BOOST_TEST((server.medium[512] == one));
    BOOST_TEST((server.medium[1024] == std::byte{0}));
}

BOOST_AUTO_TEST_CASE(a_successor_lets_its_predecessors_askers_wait_as_long_again) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked read(IoOperation::read, 0, 512);
    read.request.asked_at = BootClock::now() - milliseconds(7900);
    const Instant begin = BootClock::now();
    submit(read);
    BOOST_TEST(read.wait() == EIO);
    BOOST_TEST((BootClock::now() - begin < std::chrono::seconds(4)));
}

BOOST_AUTO_TEST_CASE(who_asks_after_an_outage_is_given_half_a_second) {
    settings.pause_limit = milliseconds(1000);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    BOOST_TEST(ask(IoOperation::read) == EIO);
    wait_for(State::offline);
    wait_for(State::online);
    const Instant begin = BootClock::now();
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST((BootClock::now() - begin >= milliseconds(1000)));
}

BOOST_AUTO_TEST_CASE(what_nobody_waits_for_begins_a_pause) {
    settings.pause_limit = milliseconds(600);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked ahead(IoOperation::read, 0, 512);
    ahead.request.awaited = false;
    submit(ahead);
    Asked answered(IoOperation::write, 8192, 512);
    answered.request.answered_early = true;
    submit(answered);
    Asked read(IoOperation::read, 4096, 512);
    Instant begin;
    in_loop([&] {
        loop.call_after(milliseconds(500), [&] {
            begin = BootClock::now();
            drive->submit(read.request);
        });
    });
    BOOST_TEST(read.wait() == EIO);
    BOOST_TEST((BootClock::now() - begin >= milliseconds(600)));
    BOOST_TEST(ahead.wait() == EIO);
    server.keeps_silent = false;
    server.drop();
    BOOST_TEST(answered.wait() == 0);
}

BOOST_AUTO_TEST_CASE(who_waits_for_what_was_asked_ahead_waits_without_end) {
    settings.pause_limit = milliseconds(300);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked ahead(IoOperation::read, 0, 512);
    ahead.request.awaited = false;
    submit(ahead);
    in_loop([&] { drive->now_awaited(ahead.request); });
    BOOST_TEST(ahead.wait() == EIO);
}

BOOST_AUTO_TEST_CASE(a_slow_link_that_takes_a_long_write_is_taken_for_a_dead_one) {
    settings.pause_limit = milliseconds(600);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.takes = 64 << 10;
    server.each = milliseconds(100);
    BOOST_TEST(ask(IoOperation::write, 0, 1 << 20, one) == 0);
}

BOOST_AUTO_TEST_CASE(a_strangers_server_is_sent_a_write_twice) {
    BOOST_REQUIRE(open(Reconnect::plain).ok());
    server.keeps_silent = true;
    Asked write(IoOperation::write, 512, 512, one);
    submit(write);
    server.wait_for(1);
    server.keeps_silent = false;
    server.drop();
    BOOST_TEST(write.wait() == EIO);
    wait_for(State::failed);
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST(failure().find("refresh") != std::string::npos);
    BOOST_TEST(server.wait_for(1).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_trusted_server_is_not_sent_a_write_again) {
    BOOST_REQUIRE(open(Reconnect::plain, true).ok());
    server.keeps_silent = true;
    Asked write(IoOperation::write, 512, 512, one);
    submit(write);
    server.wait_for(1);
    server.keeps_silent = false;
    server.drop();
    BOOST_TEST(write.wait() == 0);
    BOOST_TEST((server.medium[512] == one));
    BOOST_TEST(server.wait_for(2)[1].export_name == "blade01/d@7");
}

BOOST_AUTO_TEST_CASE(a_strangers_server_loses_reads) {
    BOOST_REQUIRE(open(Reconnect::plain).ok());
    server.keeps_silent = true;
    Asked read(IoOperation::read, 512, 512);
    submit(read);
    server.wait_for(1);
    server.keeps_silent = false;
    server.drop();
    BOOST_TEST(read.wait() == 0);
    // Unflushed writes are no different from unanswered ones; flushed ones are.
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    BOOST_TEST(ask(IoOperation::flush) == 0);
    server.drop();
    BOOST_TEST(ask(IoOperation::read) == 0);
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    server.drop();
    wait_for(State::failed);
}

BOOST_AUTO_TEST_CASE(a_silent_server_is_waited_for_without_end) {
    settings.pause_limit = milliseconds(300);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    const Instant begin = BootClock::now();
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == EIO);
    BOOST_TEST((BootClock::now() - begin >= milliseconds(300)));
    server.keeps_silent = false;
    // It is connected again by itself, and the failed write is not sent again behind its user's back.
    wait_for(State::offline);
    wait_for(State::online);
    BOOST_TEST(ask(IoOperation::read) == 0);
    BOOST_TEST((server.medium[0] == std::byte{0}));
}

BOOST_AUTO_TEST_CASE(an_offline_drive_keeps_its_users_waiting) {
    settings.pause_limit = milliseconds(200);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.go_away();
    BOOST_TEST(ask(IoOperation::read) == EIO);
    wait_for(State::offline);
    const Instant begin = BootClock::now();
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST((BootClock::now() - begin < milliseconds(150)));
    BOOST_TEST(!failure().empty());
    server.listen_again();
    wait_for(State::online);
    BOOST_TEST(ask(IoOperation::read) == 0);
    BOOST_TEST(failure().empty());
}

BOOST_AUTO_TEST_CASE(a_failed_flush_is_forgotten) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    server.flush_error = 5;
    BOOST_TEST(ask(IoOperation::flush) == EIO);
    server.flush_error = 0;
    BOOST_TEST(ask(IoOperation::flush) == EIO);
    BOOST_TEST(ask(IoOperation::write) == EIO);
    BOOST_TEST(drive->unflushed());
}

BOOST_AUTO_TEST_CASE(a_flush_covers_what_was_answered_after_it_was_sent) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(ask(IoOperation::write, 0, 512, one) == 0);
    server.keeps_silent = true;
    Asked flush(IoOperation::flush, 0, 0);
    submit(flush);
    server.wait_for(2);
    server.keeps_silent = false;
    BOOST_TEST(ask(IoOperation::write, 512, 512, one) == 0);
    server.drop();
    BOOST_TEST(flush.wait() == 0);  // sent again on the next connection, where it covers both
    BOOST_TEST(!drive->unflushed());
}

BOOST_AUTO_TEST_CASE(closing_forgets_a_request) {
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    server.keeps_silent = true;
    Asked read(IoOperation::read, 0, 512);
    submit(read);
    server.wait_for(1);
    std::promise<void> closed;
    in_loop([&] { drive->close([&] { closed.set_value(); }); });
    BOOST_TEST(read.wait() == EIO);
    closed.get_future().wait();
    in_loop([&] { drive.reset(); });
}

BOOST_AUTO_TEST_CASE(a_bad_export_becomes_a_drive) {
    server.refuses = true;
    BOOST_TEST(open(Reconnect::plain).error().code == ENOENT);
    server.refuses = false;
    server.size = 1000;
    BOOST_TEST(open(Reconnect::plain).error().message.find("512") != std::string::npos);
    server.size = 0;
    BOOST_TEST(!open(Reconnect::plain).ok());
    server.size = 1 << 20;
    server.flags |= 2;  // READ_ONLY
    BOOST_TEST(open(Reconnect::plain).error().code == EROFS);
    BOOST_REQUIRE(open(Reconnect::barrier).ok());
    BOOST_TEST(drive->geometry().read_only);
    BOOST_TEST(ask(IoOperation::write) == EROFS);
    BOOST_TEST(ask(IoOperation::read) == 0);
}

BOOST_AUTO_TEST_CASE(nobody_there_is_not_told) {
    server.go_away();
    const Status opened = open(Reconnect::plain);
    BOOST_TEST(opened.error().code != ENOENT);
    BOOST_TEST(opened.error().message.find("nbd+unix://") == 0U);
    for (const char* uri : {"http://a/b", "nbd+vsock:///x", "/a/file", "nbd:"}) {
        std::promise<int> refused;
        loop.post([&] {
            open_remote_drive(loop, {uri, true, false, nullptr}, [&](Result<std::unique_ptr<Drive>> result) {
                refused.set_value(result ? 0 : result.error().code);
            });
        });
        BOOST_TEST(refused.get_future().get() == EINVAL);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
