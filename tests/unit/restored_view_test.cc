#define BOOST_TEST_DYN_LINK
#include "fusefs/fuse_front/restored_view.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>

namespace drivebay {

namespace {

using std::chrono::milliseconds;

// Nobody answers.
struct UnreachableCatalogue final : Catalogue {
    void list_blades(std::function<void(std::vector<std::string>)>) override {}
    void list(const std::string&, std::function<void(Result<std::vector<ViewInfo>>)>) override {}
    void look_up(const std::string&, const DriveReference&, std::function<void(Result<ViewInfo>)>) override {}
    void open(const std::string&, const DriveReference&, Mode,
              std::function<void(Result<std::shared_ptr<View>>)>) override {}
};

struct Successor {
    EventLoop loop;
    UnreachableCatalogue catalogue;
    std::shared_ptr<RestoredView> view = make();
    int outcome = -1;

    std::shared_ptr<RestoredView> make() {
        RestoredView::Wish wish;
        wish.name = {"d", 7, 0};
        wish.pause_limit = std::chrono::seconds(8);
        return RestoredView::create(loop, catalogue, wish);
    }

    IoRequest asked(Duration ago) {
        IoRequest request;
        request.asked_at = BootClock::now() - ago;
        request.context = this;
        request.done = [](IoRequest& finished, int error) {
            Successor& self = *static_cast<Successor*>(finished.context);
            self.outcome = error;
            self.loop.stop();
        };
        return request;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(restored_view, Successor)

BOOST_AUTO_TEST_CASE(each_server_that_dies_grants_the_whole_pause_again) {
    IoRequest request = asked(milliseconds(7900));
    const Instant begin = BootClock::now();
    view->submit(request);
    loop.run();
    BOOST_TEST(outcome == EIO);
    BOOST_TEST((BootClock::now() - begin < std::chrono::seconds(4)));
}

BOOST_AUTO_TEST_CASE(an_answered_write_counts_in_the_pause) {
    IoRequest answered = asked(std::chrono::seconds(20));
    answered.answered_early = true;
    view->submit(answered);
    IoRequest request = asked(milliseconds(7700));
    const Instant begin = BootClock::now();
    view->submit(request);
    loop.run();
    BOOST_TEST(outcome == EIO);
    BOOST_TEST((BootClock::now() - begin >= milliseconds(250)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
