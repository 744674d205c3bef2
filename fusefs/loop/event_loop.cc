#include "fusefs/loop/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/fd.h"

namespace drivebay {

namespace {

// How many rounds of polling go by before descriptors and timers have their turn.
constexpr int rounds_a_look = 8;

struct Watch {
    int fd = -1;
    bool removed = false;
    EventLoop::FdCallback callback;
};

UniqueFd checked(int fd, const char* what) {
    if (fd < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return UniqueFd(fd);
}

}  // namespace

struct EventLoop::Impl {
    UniqueFd epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    UniqueFd wake = checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
    // CLOCK_BOOTTIME: a deadline that passed while the machine slept is due at once when it wakes.
    UniqueFd clock = checked(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");

    std::unordered_map<int, std::unique_ptr<Watch>> watches;
    // What was removed in this round: epoll may already have handed out events for it, and its callback may be running.
    std::vector<std::unique_ptr<Watch>> graveyard;

    std::vector<Poller*> pollers;  // null: stopped in this round
    bool look = false;             // before the next round of polling

    std::map<std::pair<Instant, TimerId>, std::function<void()>> timers;
    std::unordered_map<TimerId, Instant> timer_times;
    TimerId last_timer = 0;
    Instant armed{};  // what the timerfd is set to; the epoch: nothing

    std::vector<std::function<void()>> round_end;

    std::mutex post_mutex;
    std::vector<std::function<void()>> posted;
    std::atomic<bool> stopping{false};
    std::atomic<std::thread::id> thread{};

    void watch(int fd, std::uint32_t events, Watch* watch) {
        epoll_event event{};
        event.events = events;
        event.data.ptr = watch;
        if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            throw std::system_error(errno, std::generic_category(), "epoll_ctl(EPOLL_CTL_ADD)");
        }
    }

    void ring() {
        const std::uint64_t one = 1;
        // EAGAIN means that the counter is full: the loop wakes anyway.
        [[maybe_unused]] const ssize_t written = write(wake.get(), &one, sizeof one);
    }

    static void empty(int fd) {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof count);
    }

    void arm() {
        const Instant first = timers.empty() ? Instant{} : timers.begin()->first.first;
        if (first == armed) {
            return;
        }
        armed = first;
        itimerspec when{};
        if (!timers.empty()) {
            // Zero would disarm it: an instant at or before the boot is due at once.
            const auto nanoseconds = std::max<std::int64_t>(first.time_since_epoch().count(), 1);
            when.it_value.tv_sec = nanoseconds / 1'000'000'000;
            when.it_value.tv_nsec = nanoseconds % 1'000'000'000;
        }
        timerfd_settime(clock.get(), TFD_TIMER_ABSTIME, &when, nullptr);
    }

    bool poll() {
        bool busy = false;
        // By index: polling may start pollers.
        for (std::size_t i = 0; i < pollers.size(); ++i) {
            if (pollers[i] != nullptr && pollers[i]->poll()) {
                busy = true;
            }
        }
        std::erase(pollers, nullptr);
        return busy;
    }

    void run_timers() {
        const Instant now = BootClock::now();
        while (!timers.empty() && timers.begin()->first.first <= now) {
            auto due = timers.extract(timers.begin());
            timer_times.erase(due.key().second);
            due.mapped()();
        }
    }

    void run_posted() {
        std::vector<std::function<void()>> work;
        {
            const std::lock_guard lock(post_mutex);
            work.swap(posted);
        }
        for (std::function<void()>& item : work) {
            item();
        }
    }

    void run_round_end() {
        std::vector<std::function<void()>> work;
        work.swap(round_end);
        for (std::function<void()>& item : work) {
            item();
        }
        if (round_end.empty()) {
            work.clear();
            round_end.swap(work);  // keeps the capacity
        }
    }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
    impl_->watch(impl_->wake.get(), EPOLLIN, nullptr);
    // The timerfd is told from the eventfd by its address: both are the loop's own and have no Watch.
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = impl_.get();
    if (epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, impl_->clock.get(), &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl(EPOLL_CTL_ADD)");
    }
}

EventLoop::~EventLoop() = default;

void EventLoop::add(int fd, std::uint32_t epoll_events, FdCallback callback) {
    auto watch = std::make_unique<Watch>();
    watch->fd = fd;
    watch->callback = std::move(callback);
    if (impl_->watches.contains(fd)) {
        throw std::logic_error("EventLoop::add: the descriptor is watched already");
    }
    impl_->watch(fd, epoll_events, watch.get());
    impl_->watches.emplace(fd, std::move(watch));
}

void EventLoop::modify(int fd, std::uint32_t epoll_events) {
    const auto found = impl_->watches.find(fd);
    if (found == impl_->watches.end()) {
        return;
    }
    epoll_event event{};
    event.events = epoll_events;
    event.data.ptr = found->second.get();
    epoll_ctl(impl_->epoll.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove(int fd) {
    const auto found = impl_->watches.find(fd);
    if (found == impl_->watches.end()) {
        return;
    }
    epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
    found->second->removed = true;
    impl_->graveyard.push_back(std::move(found->second));
    impl_->watches.erase(found);
}

void EventLoop::start_polling(Poller& poller) {
    if (std::find(impl_->pollers.begin(), impl_->pollers.end(), &poller) == impl_->pollers.end()) {
        impl_->pollers.push_back(&poller);
    }
}

void EventLoop::stop_polling(Poller& poller) {
    std::replace(impl_->pollers.begin(), impl_->pollers.end(), &poller, static_cast<Poller*>(nullptr));
}

bool EventLoop::polls_alone(const Poller& poller) const {
    return std::ranges::all_of(impl_->pollers, [&](const Poller* one) { return one == nullptr || one == &poller; });
}

bool EventLoop::has_other_front(const Poller& poller) const {
    return std::ranges::any_of(impl_->pollers,
                               [&](const Poller* one) { return one != nullptr && one != &poller && one->is_front(); });
}

void EventLoop::look_at_descriptors() { impl_->look = true; }

EventLoop::TimerId EventLoop::call_at(Instant when, std::function<void()> callback) {
    const TimerId id = ++impl_->last_timer;
    impl_->timers.emplace(std::pair(when, id), std::move(callback));
    impl_->timer_times.emplace(id, when);
    return id;
}

EventLoop::TimerId EventLoop::call_after(Duration delay, std::function<void()> callback) {
    return call_at(BootClock::now() + delay, std::move(callback));
}

void EventLoop::cancel(TimerId timer) {
    const auto found = impl_->timer_times.find(timer);
    if (found != impl_->timer_times.end()) {
        impl_->timers.erase({found->second, timer});
        impl_->timer_times.erase(found);
    }
}

void EventLoop::at_round_end(std::function<void()> callback) { impl_->round_end.push_back(std::move(callback)); }

void EventLoop::post(std::function<void()> work) {
    bool first = false;
    {
        const std::lock_guard lock(impl_->post_mutex);
        first = impl_->posted.empty();
        impl_->posted.push_back(std::move(work));
    }
    if (first) {
        impl_->ring();
    }
}

void EventLoop::stop() {
    impl_->stopping = true;
    impl_->ring();
}

void EventLoop::run() {
    impl_->thread = std::this_thread::get_id();
    std::array<epoll_event, 128> events;
    int rounds = 0;
    while (!impl_->stopping) {
        impl_->run_round_end();
        impl_->graveyard.clear();
        const bool busy = impl_->poll();
        if (busy && !impl_->look && ++rounds < rounds_a_look) {
            continue;
        }
        rounds = 0;
        impl_->look = false;
        impl_->arm();
        const int timeout = busy || !impl_->round_end.empty() ? 0 : -1;
        const int count = epoll_wait(impl_->epoll.get(), events.data(), static_cast<int>(events.size()), timeout);
        bool due = false;
        for (int i = 0; i < count; ++i) {
            void* const source = events[i].data.ptr;
            if (source == nullptr) {
                Impl::empty(impl_->wake.get());
                impl_->run_posted();
            } else if (source == impl_.get()) {
                Impl::empty(impl_->clock.get());
                due = true;
            } else if (Watch* const watch = static_cast<Watch*>(source); !watch->removed) {
                watch->callback(events[i].events);
            }
        }
        if (due) {
            impl_->armed = Instant{};
            impl_->run_timers();
        }
    }
    impl_->stopping = false;
    impl_->thread = std::thread::id{};
}

bool EventLoop::in_loop_thread() const {
    const std::thread::id thread = impl_->thread;
    return thread == std::thread::id{} || thread == std::this_thread::get_id();
}

}  // namespace drivebay
