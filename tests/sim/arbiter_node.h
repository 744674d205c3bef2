// drivebay-arbiterd of the simulated management module: the real lease core, in a shell that commits before it tells,
// as the daemon's does, and that dies at any point of that.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "arbiter/core/desired_state.h"
#include "arbiter/core/lease_core.h"
#include "arbiter/links/renewals.h"
#include "tests/sim/ledger.h"
#include "tests/sim/process.h"
#include "tests/sim/weather.h"

namespace drivebay::sim {

class ArbiterNode : public Process {
public:
    // How its words reach the others; the links decide what becomes of them.
    struct Links {
        std::function<void(std::uint64_t link, const protocol::Table&)> table;
        std::function<void(std::uint64_t link, const protocol::LocalAnswer&)> local_answer;
        std::function<void(const std::string& blade, std::uint64_t link, protocol::Message)> blade;
        std::function<void()> died;
        std::function<bool(std::uint64_t data_path_link)> leads;  // that link is the one that is open now
    };

    ArbiterNode(Scheduler& scheduler, Weather& weather, Ledger& ledger, std::string name, Links links)
        : Process(scheduler), weather_(weather), ledger_(ledger), name_(std::move(name)), links_(std::move(links)) {}

    void data_path_arrives(std::uint64_t link, const protocol::DataPathHello& hello);
    void data_path_says(std::uint64_t link, const protocol::Message& message);
    void data_path_left(std::uint64_t link);
    void blade_says(const std::string& blade, std::uint64_t link, const protocol::Message& message);
    void blade_left(const std::string& blade, std::uint64_t link);
    // An operator's request. Refused where it is dead or stopped.
    arbiter::Actions ask(arbiter::Happening what);

    const arbiter::State& state() const { return state_; }
    // What is on its disk; to be changed while it is dead only.
    arbiter::State disk;

protected:
    void started() override;
    void killed() override;

private:
    arbiter::Actions apply(arbiter::Happening what);
    void commit(const arbiter::Changes& changes);
    void tell(const arbiter::Actions& actions);
    void witness(const arbiter::Actions& actions);
    void check_turn(const arbiter::Lease& granted) const;
    void check_waited_for(const Holding& whose) const;
    void check_durable(const protocol::Table& table) const;
    void check_durable(const std::string& blade, const protocol::Desired& desired) const;
    void set_timer();
    bool leads() const { return data_path_link_ != 0 && links_.leads(data_path_link_); }

    Weather& weather_;
    Ledger& ledger_;
    const std::string name_;
    Links links_;
    arbiter::State state_;
    std::uint64_t data_path_link_ = 0;
    std::map<std::string, std::uint64_t> blade_links_;
    std::map<std::uint64_t, arbiter::Renewals> renewals_;  // by link
    std::string greeting_;
    std::uint64_t greeting_link_ = 0;
    std::uint64_t sessions_ = 0;
    std::uint64_t timer_ = 0;
};

// As SqliteStore writes and loads it.
void store_rows(arbiter::State& disk, const arbiter::State& state, const arbiter::Changes& changes);
arbiter::State load_rows(const arbiter::State& disk);

}  // namespace drivebay::sim
