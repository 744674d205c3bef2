// A program of the simulated chassis: it can be killed, started again and stopped for a while. What was scheduled in a
// former life never happens; what falls due during a pause happens when it ends.
#pragma once

#include <utility>

#include "tests/sim/scheduler.h"

namespace drivebay::sim {

class Process {
public:
    explicit Process(Scheduler& scheduler) : scheduler_(scheduler) {}
    virtual ~Process() = default;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    bool alive() const { return alive_; }
    bool paused() const { return paused_; }

    void start() {
        alive_ = true;
        ++life_;
        started();
    }
    void kill() {
        if (std::exchange(alive_, false)) {
            ++life_;
            deferred_.clear();
            paused_ = false;
            killed();
        }
    }
    void pause() { paused_ = alive_; }
    void resume() {
        paused_ = false;
        for (auto& action : std::exchange(deferred_, {})) {
            scheduler_.after(Duration::zero(), std::move(action));
        }
    }

    // In this life only. Also what others send to it is wrapped so.
    void after(Duration delay, Scheduler::Action action) { scheduler_.after(delay, in_this_life(std::move(action))); }
    Scheduler::Action in_this_life(Scheduler::Action action) {
        return [this, life = life_, action = std::move(action)] { run(life, action); };
    }

protected:
    virtual void started() = 0;
    virtual void killed() = 0;
    Scheduler& scheduler() { return scheduler_; }
    Instant now() const { return scheduler_.now(); }

private:
    void run(std::uint64_t life, const Scheduler::Action& action) {
        if (!alive_ || life != life_) {
            return;
        }
        if (paused_) {
            deferred_.push_back([this, life, action] { run(life, action); });
        } else {
            action();
        }
    }

    Scheduler& scheduler_;
    bool alive_ = false;
    bool paused_ = false;
    std::uint64_t life_ = 0;
    std::vector<Scheduler::Action> deferred_;
};

}  // namespace drivebay::sim
