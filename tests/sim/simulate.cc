// drivebay's simulator: `make sim SEEDS=n [SEED=x]`, `make sim-mutants`.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <random>
#include <thread>

#include "lib/base/planted_bug.h"
#include "tests/sim/chassis.h"

namespace {

using namespace drivebay;

struct Totals {
    std::atomic<std::uint64_t> seeds{0};
    std::atomic<std::uint64_t> faults{0};
    std::atomic<std::uint64_t> steps{0};
    std::atomic<std::uint64_t> writes{0};
    std::atomic<std::uint64_t> grants{0};
};

// Empty: nothing was broken.
std::string run_seed(std::uint64_t seed, bool traced, Totals& totals) {
    std::string broken;
    sim::Chassis chassis(seed, traced);
    try {
        chassis.storm();
        chassis.calm();
    } catch (const std::exception& error) {
        broken = error.what();
    }
    ++totals.seeds;
    totals.faults += chassis.faults();
    totals.steps += chassis.steps();
    totals.writes += chassis.ledger().writes();
    totals.grants += chassis.ledger().grants();
    return broken;
}

struct Failure {
    std::uint64_t seed = 0;
    std::string what;
};

// Seeds from `first` on, spread over the machine's processors, until `most_failures` have failed.
std::vector<Failure> run_seeds(std::uint64_t first, std::uint64_t count, std::size_t most_failures, Totals& totals) {
    std::vector<Failure> failures;
    std::mutex mutex;
    std::atomic<std::uint64_t> next{0};
    const auto work = [&] {
        for (std::uint64_t index = next++; index < count; index = next++) {
            {
                const std::scoped_lock lock(mutex);
                if (failures.size() >= most_failures) {
                    return;
                }
            }
            if (const std::string broken = run_seed(first + index, false, totals); !broken.empty()) {
                const std::scoped_lock lock(mutex);
                failures.push_back({first + index, broken});
            }
        }
    };
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
        threads.emplace_back(work);
    }
    threads.clear();
    return failures;
}

int simulate(std::uint64_t first, std::uint64_t count) {
    Totals totals;
    const auto began = std::chrono::steady_clock::now();
    const auto failures = run_seeds(first, count, 5, totals);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    for (const Failure& failure : failures) {
        fmt::print("seed {}: {}\n  to see it again, step by step: make sim SEED={}\n", failure.seed, failure.what,
                   failure.seed);
    }
    const std::uint64_t seeds = totals.seeds;
    fmt::print(
        "{} seeds from {}: {} violations; {:.0f} faults, {:.0f} grants and {:.0f} writes a seed, {} steps, {:.1f} s\n",
        seeds, first, failures.size(), static_cast<double>(totals.faults) / static_cast<double>(seeds),
        static_cast<double>(totals.grants) / static_cast<double>(seeds),
        static_cast<double>(totals.writes) / static_cast<double>(seeds), totals.steps.load(), seconds);
    fmt::print("sim: {} passed, {} failed, 0 skipped\n", failures.empty() ? 1 : 0, failures.empty() ? 0 : 1);
    return failures.empty() ? 0 : 1;
}

int replay(std::uint64_t seed) {
    Totals totals;
    const std::string broken = run_seed(seed, true, totals);
    fmt::print("seed {}: {}\n", seed, broken.empty() ? "nothing was broken" : broken);
    return broken.empty() ? 0 : 1;
}

// Every planted bug has to be found within `count` seeds.
int hunt(std::uint64_t first, std::uint64_t count, const std::string& only) {
    std::size_t found = 0;
    std::size_t missed = 0;
    for (std::size_t i = 1; i < planted_bug_names.size(); ++i) {
        if (!only.empty() && planted_bug_names[i] != only) {
            continue;
        }
        planted_bug = static_cast<PlantedBug>(i);
        Totals totals;
        const auto failures = run_seeds(first, count, 1, totals);
        if (failures.empty()) {
            ++missed;
            fmt::print("{:<36} NOT FOUND in {} seeds\n", planted_bug_names[i], count);
        } else {
            ++found;
            fmt::print("{:<36} {:>5} seeds  {}\n", planted_bug_names[i], failures[0].seed - first + 1,
                       failures[0].what.substr(0, failures[0].what.find('\n')));
        }
        std::fflush(stdout);
    }
    fmt::print("sim-mutants: {} passed, {} failed, 0 skipped\n", found, missed);
    return missed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Plays a whole chassis through faults with the programs' own cores, and looks for a broken promise.");
    std::uint64_t count = 200;
    std::uint64_t seed = 0;
    std::uint64_t first = std::random_device{}();
    bool mutants = false;
    std::string only;
    app.add_option("--seeds", count, "how many seeds")->check(CLI::PositiveNumber);
    app.add_option("--from", first, "the first seed; without it a fresh one");
    app.add_option("--seed", seed, "play this one alone, and tell everything");
    app.add_flag("--mutants", mutants, "plant each bug in turn and see it found");
    app.add_option("--bug", only, "with --mutants: this one alone; with --seed: planted");
    CLI11_PARSE(app, argc, argv);
    if (mutants) {
        return hunt(first, count, only);
    }
    for (std::size_t i = 1; i < planted_bug_names.size(); ++i) {
        if (planted_bug_names[i] == only) {
            planted_bug = static_cast<PlantedBug>(i);
        }
    }
    return seed != 0 ? replay(seed) : simulate(first, count);
}
