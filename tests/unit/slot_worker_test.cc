#define BOOST_TEST_DYN_LINK
#include "gadgetd/slot_worker.h"

#include <boost/test/unit_test.hpp>
#include <future>
#include <memory>
#include <thread>
#include <vector>

using namespace drivebay;
using namespace drivebay::gadgetd;

BOOST_AUTO_TEST_SUITE(slot_worker)

BOOST_AUTO_TEST_CASE(jobs_run_elsewhere_in_order_and_their_ends_on_the_reactors_thread) {
    rpc::Reactor reactor;
    SlotWorker worker(reactor, "test");
    std::vector<int> ends;
    std::thread::id here = std::this_thread::get_id();
    for (int number = 0; number < 100; ++number) {
        worker.submit([&, number]() -> SlotWorker::Continuation {
            bool elsewhere = std::this_thread::get_id() != here;
            return [&, number, elsewhere] {
                BOOST_CHECK(elsewhere);
                BOOST_CHECK(std::this_thread::get_id() == here);
                ends.push_back(number);
                if (number == 99) {
                    reactor.stop();
                }
            };
        });
    }
    reactor.run();
    BOOST_REQUIRE_EQUAL(ends.size(), 100);
    for (int number = 0; number < 100; ++number) {
        BOOST_CHECK_EQUAL(ends[static_cast<std::size_t>(number)], number);
    }
}

BOOST_AUTO_TEST_CASE(a_job_that_hangs_holds_neither_the_loop_nor_the_end_of_its_owner) {
    rpc::Reactor reactor;
    auto freed = std::make_shared<std::promise<void>>();
    auto entered = std::make_shared<std::promise<void>>();
    auto left = std::make_shared<std::promise<void>>();
    bool continued = false;
    {
        SlotWorker worker(reactor, "test");
        worker.submit([=, &continued]() -> SlotWorker::Continuation {
            entered->set_value();
            freed->get_future().wait();
            left->set_value();
            return [&continued] { continued = true; };
        });
        entered->get_future().wait();
        reactor.post([&] { reactor.stop(); });
        reactor.run();
    }
    freed->set_value();
    left->get_future().wait();
    rpc::Reactor other;
    other.post([&] { other.stop(); });
    other.run();
    BOOST_CHECK(!continued);
}

BOOST_AUTO_TEST_SUITE_END()
