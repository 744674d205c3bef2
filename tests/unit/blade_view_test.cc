// What a blade says of its epochs: while they go on, and how they ended.
#define BOOST_TEST_DYN_LINK
#include "fusefs/blade/blade_view.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <future>

#include "fusefs/blade/blade_catalogue.h"
#include "tests/unit/nbd_server_double.h"

namespace drivebay {

namespace {

using protocol::Outcome;

// A host's request, in memory that outlives the process or not.
struct Asked {
    explicit Asked(IoOperation operation, bool early = false) : memory(operation == IoOperation::flush ? 0 : 512) {
        request.operation = operation;
        request.length = static_cast<std::uint32_t>(memory.size());
        request.data = memory.data();
        request.context = this;
        request.done = [](IoRequest& finished, int error) {
            static_cast<Asked*>(finished.context)->outcome.set_value(error);
        };
        if (early) {
            request.answer_early = [](IoRequest&) {};
        }
    }
    int wait() { return outcome.get_future().get(); }

    std::vector<std::byte> memory;
    IoRequest request;
    std::promise<int> outcome;
};

struct Blade {
    NbdServerDouble server;
    Result<KeptMemory> memory = KeptMemory::create();
    KeptEpochs epochs{memory->layout()};
    EventLoop loop;
    std::shared_ptr<BladeDrive> drive;
    std::shared_ptr<View> view;
    std::promise<DrainAnswer> closed;
    std::thread thread = std::thread([this] { loop.run(); });

    Blade() {
        BladeDrive::Settings settings;
        settings.uri = server.uri("blade01/d@7");
        settings.blade = "blade01";
        settings.drive = "d";
        settings.epoch = 7;
        settings.pause_limit = std::chrono::seconds(8);
        drive =
            std::make_shared<BladeDrive>(loop, epochs, settings, [this](DrainAnswer told) { closed.set_value(told); });
    }

    ~Blade() {
        in_loop([&] {
            view.reset();
            drive->give_up();
        });
        in_loop([&] { drive.reset(); });
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

    // 0 or an errno.
    int open() {
        std::promise<int> opened;
        loop.post([&] {
            drive->open(Mode::write, [&](Result<std::shared_ptr<View>> found) {
                view = found ? std::move(*found) : nullptr;
                opened.set_value(found ? 0 : found.error().code);
            });
        });
        return opened.get_future().get();
    }

    int ask(IoOperation operation, bool early = false) {
        Asked asked(operation, early);
        in_loop([&] { view->submit(asked.request); });
        return asked.wait();
    }

    ViewStatus status() {
        ViewStatus told;
        in_loop([&] { told = drive->status(); });
        return told;
    }

    // What a drain is told once the host has let go of it.
    DrainAnswer let_go() {
        in_loop([&] { view.reset(); });
        return closed.get_future().get();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(blade_view, Blade)

BOOST_AUTO_TEST_CASE(a_flush_that_failed_leaves_its_slot_dead) {
    BOOST_REQUIRE(open() == 0);
    BOOST_TEST(ask(IoOperation::write) == 0);
    BOOST_TEST((status().state == ViewStatus::State::online));
    server.flush_error = EIO;
    BOOST_TEST(ask(IoOperation::flush) == EIO);
    BOOST_TEST((status().state == ViewStatus::State::ended));
    BOOST_TEST((let_go().outcome == Outcome::lost));
}

BOOST_AUTO_TEST_CASE(a_management_module_that_was_restarted_leaves_the_slot_dead) {
    BOOST_REQUIRE(open() == 0);
    BOOST_TEST(ask(IoOperation::write) == 0);
    server.go_away();
    server.description = "drivebay boot=second epoch=7";
    server.listen_again();
    BOOST_TEST(ask(IoOperation::read) == EIO);
    BOOST_TEST((status().state == ViewStatus::State::ended));
    BOOST_TEST((let_go().outcome == Outcome::lost));
}

BOOST_AUTO_TEST_CASE(an_epoch_that_is_being_connected_is_not_told_of) {
    BOOST_REQUIRE((epochs.of("d", 7) != nullptr));
    const ViewStatus told = status();
    BOOST_TEST(told.admission.drive == "d");
    BOOST_TEST(told.admission.blade == "blade01");
    BOOST_TEST(told.admission.epoch == 7U);
    BOOST_TEST((told.state == ViewStatus::State::offline));
}

BOOST_AUTO_TEST_CASE(an_open_file_whose_epoch_nobody_could_reach_yet_is_not_told_of) {
    BladeSettings settings;
    settings.blade = "blade01";
    BladeCatalogue catalogue(loop, memory->layout(), settings);
    std::shared_ptr<void> hold = catalogue.hold("", {"d", 7, 0});
    const std::vector<ViewStatus> told = catalogue.status().views;
    BOOST_REQUIRE(told.size() == 1U);
    BOOST_TEST(told[0].admission.drive == "d");
    BOOST_TEST(told[0].admission.blade == "blade01");
    BOOST_TEST(told[0].admission.epoch == 7U);
    BOOST_TEST(told[0].handles == 1U);
    BOOST_TEST((told[0].state == ViewStatus::State::offline));
    hold.reset();
    BOOST_TEST(catalogue.status().views.empty());
}

BOOST_AUTO_TEST_CASE(a_refused_write_counts_as_drained_once_a_flush_has_told_of_it) {
    BOOST_REQUIRE(open() == 0);
    server.error = ENOSPC;
    BOOST_TEST(ask(IoOperation::write, true) == ENOSPC);
    server.error = 0;
    BOOST_TEST(ask(IoOperation::flush) == ENOSPC);  // which f_mass_storage swallows where the host closes its drive
    BOOST_TEST(ask(IoOperation::flush) == 0);
    BOOST_TEST((let_go().outcome == Outcome::lost));
}

BOOST_AUTO_TEST_CASE(a_successor_drains_what_its_predecessor_was_refused) {
    epochs.of("d", 7)->refused.store(ENOSPC);
    in_loop([&] {
        drive = std::make_shared<BladeDrive>(loop, epochs,
                                             BladeDrive::Settings{server.uri("blade01/d@7"), "blade01", "d", 7, {}},
                                             [this](DrainAnswer told) { closed.set_value(told); });
    });
    BOOST_REQUIRE(open() == 0);
    BOOST_TEST((let_go().outcome == Outcome::lost));
}

BOOST_AUTO_TEST_CASE(an_epoch_that_is_gone_keeps_its_place_for_ever) {
    KeptEpochs::note_unflushed(*epochs.of("d", 7), "");
    in_loop([&] {
        drive = std::make_shared<BladeDrive>(loop, epochs,
                                             BladeDrive::Settings{server.uri("blade01/d@7"), "blade01", "d", 7, {}},
                                             [this](DrainAnswer told) { closed.set_value(told); });
    });
    server.refuses = true;
    BOOST_TEST(open() == ENOENT);
    BOOST_TEST((closed.get_future().get().outcome == Outcome::unknown));
    BOOST_TEST((epochs.find("d", 7) == nullptr));
}

BOOST_AUTO_TEST_CASE(a_server_that_does_not_say_its_epoch_is_used) {
    server.description = "a stranger's disk";
    BOOST_TEST(open() == EPROTO);
}

BOOST_AUTO_TEST_CASE(a_servers_successor_names_a_lower_instance_if_the_clock_was_set_back) {
    memory->layout().header.last_instance = std::uint64_t{1} << 62;
    BOOST_REQUIRE(open() == 0);
    BOOST_TEST(server.exports_asked().back() == "blade01/d@7#" + std::to_string((std::uint64_t{1} << 62) + 1));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
