// Virtual time: what is to happen when. One thread; nothing in here or in what it runs looks at a real clock, so one
// seed gives one history.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "lib/base/clock.h"

namespace drivebay::sim {

class Scheduler {
public:
    using Action = std::function<void()>;

    Instant now() const { return now_; }
    std::uint64_t steps() const { return steps_; }

    void after(Duration delay, Action action) {
        queue_.push_back({now_ + std::max(delay, Duration::zero()), ++last_, std::move(action)});
        std::push_heap(queue_.begin(), queue_.end(), later);
    }

    void run_until(Instant end) {
        while (!queue_.empty() && queue_.front().when <= end) {
            std::pop_heap(queue_.begin(), queue_.end(), later);
            Entry entry = std::move(queue_.back());
            queue_.pop_back();
            now_ = entry.when;
            ++steps_;
            entry.action();
        }
        now_ = std::max(now_, end);
    }

private:
    struct Entry {
        Instant when;
        std::uint64_t order;  // at one instant: first in, first out
        Action action;
    };
    static bool later(const Entry& one, const Entry& other) {
        return one.when != other.when ? one.when > other.when : one.order > other.order;
    }

    Instant now_ = Instant(std::chrono::hours(1));
    std::uint64_t last_ = 0;
    std::uint64_t steps_ = 0;
    std::vector<Entry> queue_;
};

}  // namespace drivebay::sim
