// The data path's loop: one thread, epoll, timers and work posted from elsewhere. Nothing that runs in it may block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "lib/base/clock.h"
#include "lib/base/result.h"

namespace drivebay {

// Something that is asked for work in every round while it expects some, so that a busy loop need not go to epoll for
// each piece. It does one small piece a time: many of them in turns is what keeps a drive and its clients both busy.
class Poller {
public:
    // What it may do for clients in one poll() while other fronts poll, and what a request costs beside its bytes.
    static constexpr std::size_t share = std::size_t{128} << 10;
    static constexpr std::size_t cost_of_request = std::size_t{4} << 10;

    virtual ~Poller() = default;
    // It brings in what clients ask for: such pollers have an equal part of the loop's time each.
    virtual bool is_front() const { return false; }
    // True: it did something, and is to be asked again before the loop sleeps.
    virtual bool poll() = 0;
};

class EventLoop {
public:
    using FdCallback = std::function<void(std::uint32_t epoll_events)>;
    using TimerId = std::uint64_t;  // 0: none

    EventLoop();
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // Level-triggered. A descriptor is watched once; the callback may call modify() and remove(), its own included.
    // The caller keeps owning `fd` and removes it before closing it.
    void add(int fd, std::uint32_t epoll_events, FdCallback callback);
    void modify(int fd, std::uint32_t epoll_events);
    void remove(int fd);

    // From start_polling() to stop_polling(), which both may be called again and from inside poll(). A poller watches a
    // descriptor, too: the loop sleeps once none of them found anything.
    void start_polling(Poller& poller);
    void stop_polling(Poller& poller);
    // Nobody else has work, as far as is known between two looks at the descriptors.
    bool polls_alone(const Poller& poller) const;
    // Another front has work, as far as is known.
    bool has_other_front(const Poller& poller) const;

    // Descriptors and timers have their turn when this round ends, busy or not: after a poll() that took long.
    void look_at_descriptors();

    TimerId call_at(Instant when, std::function<void()> callback);
    TimerId call_after(Duration delay, std::function<void()> callback);
    void cancel(TimerId timer);

    // Runs once, at the end of the round of events that is under way, before the loop sleeps: where submissions are
    // batched, and where something completes "soon" but not inside the call that asked for it. What is added from such
    // a callback runs at the end of the next round, so that descriptors have their turn in between.
    void at_round_end(std::function<void()> callback);

    // The only two that other threads may call. Work posted after stop() may be dropped unrun.
    void post(std::function<void()> work);
    void stop();

    // Returns after stop(). Until then the thread that calls it is the loop's thread; before, whoever sets things up is.
    void run();
    bool in_loop_thread() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace drivebay
