// What may go wrong, and how often: the dice of one seed, the count of the faults they brought, and the trace.
#pragma once

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

#include "tests/sim/scheduler.h"

namespace drivebay::sim {

class Weather {
public:
    explicit Weather(const Scheduler& scheduler, std::uint64_t seed, bool traced)
        : scheduler_(scheduler), random_(seed), traced_(traced) {}

    // False once everything is to work again.
    bool stormy = true;
    std::uint64_t faults = 0;

    std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
    // With faults only, and counted as one.
    bool strikes(int per_mille) {
        const bool hit = stormy && below(1000) < static_cast<std::size_t>(per_mille);
        faults += hit ? 1 : 0;
        return hit;
    }
    bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }
    Duration between(Duration least, Duration most) {
        return least +
               Duration(static_cast<Duration::rep>(below(static_cast<std::size_t>((most - least).count()) + 1)));
    }

    template <class... Values>
    void trace(fmt::format_string<Values...> text, Values&&... values) {
        if (traced_) {
            using std::chrono::milliseconds;
            const auto at = std::chrono::duration_cast<milliseconds>(scheduler_.now().time_since_epoch()).count();
            fmt::print("{:>9} ms  {}\n", at - 3600000, fmt::format(text, std::forward<Values>(values)...));
        }
    }

private:
    const Scheduler& scheduler_;
    std::mt19937_64 random_;
    const bool traced_;
};

}  // namespace drivebay::sim
