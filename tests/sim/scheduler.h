// Virtual time: what is to happen when. One thread; nothing in here or in what it runs looks at a real clock, so one
// seed gives one history.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

#include "lib/base/clock.h"

namespace drivebay::sim {

struct NoEnd : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Scheduler {
public:
    // A storm takes some 9,000.
    static constexpr std::uint64_t most_steps = 300'000;
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
            if (++steps_ > most_steps) {
                throw NoEnd("so many steps within one storm: somebody does the same again and again without a pause");
            }
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
