#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <future>
#include <string>
#include <thread>

#include "fusefs/engine/write_intent.h"

namespace drivebay {
namespace {

// A drive that answers at once, unless it holds its writes.
class RecordingDrive final : public Drive {
public:
    RecordingDrive(EventLoop& loop, std::string& story) : loop_(loop), story_(story) {}
    DriveGeometry geometry() const override { return {1 << 20, 512, false, false}; }
    void submit(IoRequest& request) override {
        const bool flush = request.operation == IoOperation::flush;
        story_ += flush ? 'F' : request.operation == IoOperation::read ? 'r' : 'w';
        loop_.at_round_end([this, &request, flush] {
            unflushed = !flush || flush_error != 0;
            request.done(request, flush ? flush_error : 0);
        });
    }
    void close(std::function<void()> closed) override {
        story_ += 'c';
        loop_.at_round_end(std::move(closed));
    }
    std::string failure() const override { return ""; }

    bool unflushed = false;
    int flush_error = 0;

private:
    EventLoop& loop_;
    std::string& story_;
};

// What happened, a letter each: S, C the mark is asked to be set, cleared; w, r, F a request reaches the drive; c it is
// closed.
struct Marked {
    EventLoop loop;
    std::string story;
    RecordingDrive* recording = nullptr;
    std::function<void(bool)> asked;  // the mark that was not answered yet
    std::promise<void> mark_asked;
    std::unique_ptr<WriteIntent> drive;
    std::thread thread;

    Marked() {
        auto made = std::make_unique<RecordingDrive>(loop, story);
        recording = made.get();
        drive = std::make_unique<WriteIntent>(
            loop, std::move(made), [this] { return recording->unflushed; },
            [this](bool set, std::function<void(bool)> done) {
                story += set ? 'S' : 'C';
                asked = std::move(done);
                mark_asked.set_value();
            });
        thread = std::thread([this] { loop.run(); });
    }
    ~Marked() {
        in_loop([this] { drive.reset(); });
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
    void wait_for_mark() {
        BOOST_REQUIRE(mark_asked.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
    }
    void answer(bool durable) {
        in_loop([&] {
            mark_asked = {};
            std::exchange(asked, nullptr)(durable);
        });
    }
    void answer_mark(bool durable) {
        wait_for_mark();
        answer(durable);
    }
    std::string so_far() {
        std::string copy;
        in_loop([&] { copy = story; });
        return copy;
    }

    struct Asked {
        explicit Asked(IoOperation operation) {
            request.operation = operation;
            request.length = 512;
            request.context = this;
            request.done = [](IoRequest& done, int error) {
                static_cast<Asked*>(done.context)->outcome.set_value(error);
            };
        }
        IoRequest request;
        std::promise<int> outcome;
    };
    void submit(Asked& asked_for) {
        in_loop([&] { drive->submit(asked_for.request); });
    }
    int ask(IoOperation operation) {
        Asked request(operation);
        submit(request);
        return request.outcome.get_future().get();
    }
    std::future<void> close() {
        const auto closed = std::make_shared<std::promise<void>>();
        in_loop([&] { drive->close([closed] { closed->set_value(); }); });
        return closed->get_future();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(write_intent, Marked)

BOOST_AUTO_TEST_CASE(a_write_leaves_before_its_mark_is_durable) {
    Asked first(IoOperation::write);
    Asked second(IoOperation::write_zeroes);
    submit(first);
    submit(second);
    BOOST_TEST(ask(IoOperation::read) == 0);
    BOOST_TEST(so_far() == "Sr");
    answer_mark(true);
    BOOST_TEST(first.outcome.get_future().get() == 0);
    BOOST_TEST(second.outcome.get_future().get() == 0);
    BOOST_TEST(ask(IoOperation::trim) == 0);
    BOOST_TEST(so_far() == "Srwww");
}

BOOST_AUTO_TEST_CASE(a_mark_that_is_not_durable_lets_a_write_go) {
    Asked write(IoOperation::write);
    submit(write);
    answer_mark(false);
    BOOST_TEST(so_far() == "S");
    answer_mark(true);
    BOOST_TEST(write.outcome.get_future().get() == 0);
    BOOST_TEST(so_far() == "SSw");
}

BOOST_AUTO_TEST_CASE(the_mark_stays_after_a_rest_or_goes_before_the_flush) {
    Asked write(IoOperation::write);
    submit(write);
    answer_mark(true);
    BOOST_TEST(write.outcome.get_future().get() == 0);
    Asked meanwhile(IoOperation::write);
    wait_for_mark();
    BOOST_TEST(so_far() == "SwFC");
    submit(meanwhile);
    answer(true);
    BOOST_TEST(so_far() == "SwFCS");
    answer_mark(true);
    BOOST_TEST(meanwhile.outcome.get_future().get() == 0);
}

BOOST_AUTO_TEST_CASE(a_clean_close_leaves_the_mark) {
    Asked write(IoOperation::write);
    submit(write);
    answer_mark(true);
    BOOST_TEST(write.outcome.get_future().get() == 0);
    std::future<void> closed = close();
    answer_mark(true);
    closed.wait();
    BOOST_TEST(so_far() == "SwFCc");
}

BOOST_AUTO_TEST_CASE(a_close_whose_flush_failed_clears_the_mark) {
    Asked write(IoOperation::write);
    submit(write);
    answer_mark(true);
    BOOST_TEST(write.outcome.get_future().get() == 0);
    in_loop([&] { recording->flush_error = EIO; });
    close().wait();
    BOOST_TEST(so_far() == "SwFc");
}

BOOST_AUTO_TEST_CASE(a_drive_that_was_only_read_is_marked) {
    BOOST_TEST(ask(IoOperation::read) == 0);
    BOOST_TEST(ask(IoOperation::flush) == 0);
    close().wait();
    BOOST_TEST(so_far() == "rFc");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
