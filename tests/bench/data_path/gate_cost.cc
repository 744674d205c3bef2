// What the gate costs: nanoseconds for a way in and out, by one thread, and by as many as there are cores at one gate.
// Prints one JSON object.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "fusefs/engine/gate.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int passages = 4'000'000;
constexpr int repetitions = 5;

double pass(drivebay::Gate& gate) {
    const auto begin = Clock::now();
    for (int i = 0; i < passages; ++i) {
        if (!gate.enter()) {
            return 0;
        }
        gate.leave();
    }
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / passages;
}

double median_of(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

double measure(unsigned threads) {
    std::vector<double> all;
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        drivebay::Gate gate;
        std::vector<double> each(threads);
        std::vector<std::thread> running;
        for (double& mine : each) {
            running.emplace_back([&gate, &mine] { mine = pass(gate); });
        }
        for (std::thread& thread : running) {
            thread.join();
        }
        all.push_back(median_of(each));
    }
    return median_of(all);
}

}  // namespace

int main() {
    const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
    fmt::print("{{\"alone_ns\": {:.2f}, \"contended_ns\": {:.2f}, \"threads\": {}}}\n", measure(1), measure(cores), cores);
}
