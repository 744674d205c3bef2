#define BOOST_TEST_DYN_LINK
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <set>
#include <thread>
#include <vector>

#include "fusefs/loop/event_loop.h"
#include "fusefs/loop/worker_pool.h"
#include "lib/base/fd.h"

namespace drivebay {
namespace {

using namespace std::chrono_literals;

UniqueFd ready_fd() { return UniqueFd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

}  // namespace

BOOST_AUTO_TEST_SUITE(event_loop)

BOOST_AUTO_TEST_CASE(a_removed_descriptors_event_of_the_same_batch_is_delivered) {
    EventLoop loop;
    const UniqueFd first = ready_fd();
    const UniqueFd second = ready_fd();
    std::vector<int> called;
    const auto watch = [&](int own, int other) {
        loop.add(own, EPOLLIN, [&loop, &called, own, other](std::uint32_t) {
            called.push_back(own);
            loop.remove(other);
            loop.remove(own);  // its own callback goes on living until it returns
            loop.at_round_end([&loop] { loop.stop(); });
        });
    };
    watch(first.get(), second.get());
    watch(second.get(), first.get());
    loop.run();
    BOOST_TEST(called.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_descriptor_number_that_was_reused_in_the_batch_gets_the_old_ones_event) {
    EventLoop loop;
    UniqueFd first = ready_fd();
    UniqueFd second = ready_fd();
    bool wrong = false;
    int rounds = 0;
    const auto replace = [&](UniqueFd& victim) {
        const int number = victim.get();
        loop.remove(number);
        victim.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));  // never ready
        loop.add(victim.get(), EPOLLIN, [&wrong](std::uint32_t) { wrong = true; });
    };
    const auto on_event = [&](UniqueFd& own, UniqueFd& other) {
        return [&, number = own.get()](std::uint32_t) {
            if (++rounds == 1) {
                replace(other);
            }
            loop.remove(number);
            loop.call_after(5ms, [&loop] { loop.stop(); });
        };
    };
    loop.add(first.get(), EPOLLIN, on_event(first, second));
    loop.add(second.get(), EPOLLIN, on_event(second, first));
    loop.run();
    BOOST_TEST(rounds == 1);
    BOOST_TEST(!wrong);
}

BOOST_AUTO_TEST_CASE(timers_run_out_of_order_or_after_they_were_cancelled) {
    EventLoop loop;
    std::vector<int> order;
    const Instant now = BootClock::now();
    loop.call_at(now + 3ms, [&] {
        order.push_back(3);
        loop.stop();
    });
    const EventLoop::TimerId dropped = loop.call_at(now + 2ms, [&] { order.push_back(2); });
    loop.call_at(now + 1ms, [&] {
        order.push_back(1);
        loop.cancel(dropped);
    });
    loop.call_at(now - 1s, [&] { order.push_back(0); });
    loop.run();
    BOOST_TEST(order == (std::vector<int>{0, 1, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(work_at_the_rounds_end_that_adds_itself_again_starves_the_descriptors) {
    EventLoop loop;
    const UniqueFd ready = ready_fd();
    bool heard = false;
    std::function<void()> again = [&] {
        if (!heard) {
            loop.at_round_end(again);
        }
    };
    loop.at_round_end(again);
    loop.add(ready.get(), EPOLLIN, [&](std::uint32_t) {
        heard = true;
        loop.remove(ready.get());
        loop.stop();
    });
    loop.run();
    BOOST_TEST(heard);
}

BOOST_AUTO_TEST_CASE(posts_from_other_threads_are_lost_or_run_elsewhere) {
    EventLoop loop;
    constexpr int each = 2000;
    int ran = 0;
    bool elsewhere = false;
    const auto poster = [&] {
        for (int i = 0; i < each; ++i) {
            loop.post([&] {
                elsewhere = elsewhere || !loop.in_loop_thread();
                if (++ran == 2 * each) {
                    loop.stop();
                }
            });
        }
    };
    std::thread one(poster);
    std::thread two(poster);
    loop.run();
    one.join();
    two.join();
    BOOST_TEST(ran == 2 * each);
    BOOST_TEST(!elsewhere);
}

BOOST_AUTO_TEST_CASE(a_workers_answer_comes_on_its_own_thread_or_after_the_pool_has_gone) {
    EventLoop loop;
    auto pool = std::make_unique<WorkerPool>(loop, "test", 3);
    std::set<int> answers;
    bool late = false;
    for (int i = 0; i < 20; ++i) {
        pool->compute([i] { return i * i; },
                      [&](int square) {
                          BOOST_TEST(loop.in_loop_thread());
                          answers.insert(square);
                          if (answers.size() == 20) {
                              pool->run([] {}, [&late] { late = true; });
                              pool.reset();
                              loop.at_round_end([&loop] { loop.at_round_end([&loop] { loop.stop(); }); });
                          }
                      });
    }
    loop.run();
    BOOST_TEST(answers.size() == 20u);
    BOOST_TEST(*answers.rbegin() == 361);
    BOOST_TEST(!late);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
