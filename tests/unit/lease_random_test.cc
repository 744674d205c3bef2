// The lease core against models of its counterparts over links that lose, repeat and reorder, with restarts of
// everything and an operator who wants all sorts of things. A failure prints the seed; LEASE_SEED=n runs that one
// alone, LEASE_SEEDS=n more of them.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <deque>
#include <random>

#include "tests/unit/lease_models.h"
#include "tests/unit/stored_findings.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> drive_names = {"d0", "d1"};
const std::vector<std::string> blade_names = {"b0", "b1", "b2"};

class Storm {
public:
    explicit Storm(std::uint64_t seed) : random_(seed) {
        state_.term = 1;
        step(Started{});
        for (const std::string& name : drive_names) {
            Drive drive;
            drive.name = name;
            drive.size = 1 << 20;
            step(AddDrive{drive});
        }
        for (const std::string& name : blade_names) {
            step(AddBlade{name});
            blades_.emplace(name, models::BladeModel(name, {DriveKind::disk, DriveKind::disk}));
        }
    }

    void rage(int steps) {
        for (int i = 0; i < steps; ++i) {
            now_ += std::chrono::milliseconds(below(400));
            something_happens();
            step(Tick{});
        }
    }

    // Everything works again: whoever waits must be served in turn as hosts eject what they have.
    void calm() {
        faults_ = false;
        data_path_.stuck = false;
        data_path_.failed.clear();
        for (auto& [name, blade] : blades_) {
            blade.refuses_media = false;
            for (auto& [number, slot] : blade.slots) {
                slot.host_locked = false;
            }
        }
        for (const auto& use : std::vector(data_path_.local)) {
            data_path_.local.clear();
            step(LocalReleased{{use.drive, use.epoch}});
        }
        reconnect_data_path();
        for (const std::string& name : blade_names) {
            reconnect(name);
        }
        for (int round = 0; round < 40 && !all_quiet(); ++round) {
            for (int i = 0; i < 30; ++i) {
                now_ += 1s;
                for (const std::string& name : blade_names) {
                    step(BladeRenewed{name, now_});
                }
                step(Tick{});
                exchange();
            }
            for (auto& [name, blade] : blades_) {
                for (auto& [number, slot] : blade.slots) {
                    if (!slot.drive.empty()) {
                        blade.host_ejects(number);
                        break;
                    }
                }
            }
            exchange();
        }
        if (!all_quiet()) {
            throw models::BrokenPromise("somebody is still waiting:" + list());
        }
        for (const Admission& admission : data_path_.admitted) {
            throw models::BrokenPromise("still admitted without a lease: " + admission.drive + " " + admission.blade);
        }
    }

private:
    std::size_t below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }
    bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }
    const std::string& one_of(const std::vector<std::string>& names) { return names[below(names.size())]; }

    Actions step(Happening what) {
        const auto epochs = state_.epochs;
        Actions actions = arbiter::step(state_, Event{now_, std::move(what)});
        for (const auto& [drive, epoch] : epochs) {
            if (state_.epochs.at(drive) < epoch) {
                throw models::BrokenPromise("the epoch of " + drive + " went down");
            }
        }
        check_leases();
        for (const AuditEntry& entry : actions.audit) {
            trace(entry);
            if (entry.event == "granted" && !granted_.insert({entry.drive, entry.epoch}).second) {
                throw models::BrokenPromise("an epoch of " + entry.drive + " was granted twice");
            }
        }
        if (actions.table && data_path_connected_) {
            tables_.push_back(data_path_table(state_));
        }
        for (const std::string& blade : actions.desired) {
            if (connected_.contains(blade)) {
                desired_[blade].push_back(desired_state(state_, blade));
            }
        }
        for (const auto& answer : actions.local_answers) {
            if (answer.granted) {
                for (const Admission& other : data_path_.admitted) {
                    if (other.drive == local_wish_.drive && !coexist(other.mode, local_wish_.mode)) {
                        throw models::BrokenPromise("@local was let in beside " + other.blade);
                    }
                }
                const protocol::LocalUse use{local_wish_.drive, answer.epoch};
                std::erase(data_path_.local, use);
                data_path_.local.push_back(use);
                Epoch& floor = data_path_.floors[use.drive];
                floor = std::max(floor, use.epoch);
            }
        }
        return actions;
    }

    // It could end at any step and start again from what it stored.
    void check_leases() const {
        if (const auto findings = stored_findings(state_); !findings.empty()) {
            throw models::BrokenPromise(findings.front());
        }
    }

    // With LEASE_TRACE set: what happened, for whoever looks at one seed.
    void trace(const AuditEntry& entry) const {
        if (std::getenv("LEASE_TRACE")) {
            BOOST_TEST_MESSAGE(std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch()).count()
                               << " " << entry.event << " lease " << entry.lease << " " << entry.drive << " "
                               << entry.blade << " " << entry.mode << " epoch " << entry.epoch << " " << entry.detail);
        }
    }

    // One message of a queue is delivered, perhaps not the next one, perhaps not for the last time, perhaps never.
    template <class Message, class Deliver>
    void deliver(std::deque<Message>& queue, Deliver to) {
        if (queue.empty()) {
            return;
        }
        const std::size_t which = faults_ && chance(20) ? below(queue.size()) : 0;
        const Message message = queue[which];
        if (!faults_ || !chance(15)) {
            queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(which));
        }
        if (!faults_ || !chance(15)) {
            to(message);
        }
    }

    void exchange() {
        if (data_path_connected_) {
            deliver(tables_, [this](const protocol::Table& table) { data_path_.apply(table); });
            reports_.push_back(data_path_.observed());
            deliver(reports_, [this](const protocol::DataPathObserved& report) { step(DataPathReported{report}); });
        }
        for (const std::string& name : blade_names) {
            if (!connected_.contains(name)) {
                continue;
            }
            deliver(desired_[name],
                    [this, &name](const protocol::Desired& desired) { blades_.at(name).apply(desired); });
            observed_[name].push_back(blades_.at(name).observed());
            deliver(observed_[name], [this, &name](const protocol::BladeObserved& observed) {
                step(BladeReported{name, observed});
            });
        }
        if (!faults_) {
            // Nothing is lost any more, so what queued up in the storm is worth nothing against the whole states.
            tables_.clear();
            tables_.push_back(data_path_table(state_));
            for (const std::string& name : blade_names) {
                desired_[name].clear();
                desired_[name].push_back(desired_state(state_, name));
            }
        }
    }

    void reconnect(const std::string& name) {
        desired_[name].clear();
        observed_[name].clear();
        connected_.insert(name);
        const Actions actions = step(BladeArrived{blades_.at(name).hello(), "s" + std::to_string(++sessions_)});
        if (actions.welcome) {
            blades_.at(name).session = actions.welcome->session;
        } else {
            connected_.erase(name);
        }
    }

    void reconnect_data_path() {
        tables_.clear();
        reports_.clear();
        data_path_connected_ = true;
        step(DataPathArrived{data_path_.hello()});
    }

    void restart_arbiter() {
        State fresh;
        fresh.drives = state_.drives;
        fresh.blades = state_.blades;
        fresh.epochs = state_.epochs;
        fresh.term = state_.term + 1;
        fresh.last_lease = state_.last_lease;
        for (const auto& [id, lease] : state_.leases) {
            if (!is_gone(lease)) {
                fresh.leases[id] = lease;
            }
        }
        for (auto& [name, drive] : fresh.drives) {
            drive.observed.reset();
        }
        for (auto& [name, blade] : fresh.blades) {
            blade.connected = blade.live = false;
            blade.observed = {};
        }
        state_ = fresh;
        connected_.clear();
        data_path_connected_ = false;
        step(Started{});
    }

    void present() {
        Present request;
        request.drive = one_of(drive_names);
        request.blades = {one_of(blade_names)};
        request.access = chance(50) ? Mode::read : Mode::write;
        request.policy = static_cast<Policy>(below(4));
        step(request);
    }

    void withdraw() {
        Withdraw request;
        request.drive = one_of(drive_names);
        request.blades = {one_of(blade_names)};
        request.force = chance(30);
        step(request);
    }

    void use_locally() {
        if (!data_path_connected_) {
            return;
        }
        if (!data_path_.local.empty() && chance(50)) {
            const auto use = data_path_.local.front();
            data_path_.local.erase(data_path_.local.begin());
            step(LocalReleased{{use.drive, use.epoch}});
            return;
        }
        local_wish_ = {1, one_of(drive_names), chance(50) ? Mode::read : Mode::write};
        step(LocalAcquired{local_wish_});
    }

    void something_happens() {
        const std::string& name = one_of(blade_names);
        auto& blade = blades_.at(name);
        switch (below(24)) {
            case 0: reconnect(name); break;
            case 1:
                connected_.erase(name);
                step(BladeLeft{name});
                break;
            case 2:
                if (chance(30)) {
                    blade.reboot();
                    reconnect(name);
                }
                break;
            case 3: reconnect_data_path(); break;
            case 4:
                if (chance(30)) {
                    data_path_connected_ = false;
                    step(DataPathLeft{});
                }
                break;
            case 5:
                if (chance(20)) {
                    restart_arbiter();
                }
                break;
            case 6:
            case 7:
            case 8: present(); break;
            case 9: withdraw(); break;
            case 10: blade.host_ejects(static_cast<int>(below(2))); break;
            case 11: blade.slots.at(static_cast<int>(below(2))).host_locked = chance(50); break;
            case 12: data_path_.stuck = chance(30); break;
            case 13: use_locally(); break;
            case 14: step(RefreshDrive{one_of(drive_names)}); break;
            case 15: step(LeaveQueue{state_.last_lease}); break;
            case 16: blade.drain = static_cast<protocol::Outcome>(below(3)); break;
            case 17:
                if (chance(30)) {
                    data_path_.failed.insert(one_of(drive_names));
                } else {
                    data_path_.failed.clear();
                }
                break;
            case 18: blade.refuses_media = chance(20); break;
            case 19: now_ += chance(20) ? 12s : 1s; break;
            default: exchange(); break;
        }
        for (const std::string& alive : blade_names) {
            if (connected_.contains(alive) && chance(70)) {
                step(BladeRenewed{alive, now_});
            }
        }
    }

    bool all_quiet() const {
        for (const auto& [id, lease] : state_.leases) {
            if (!is_gone(lease)) {
                return false;
            }
        }
        return true;
    }

    std::string list() const {
        std::string text;
        for (const auto& [id, lease] : state_.leases) {
            if (!is_gone(lease)) {
                text += "\n  lease " + std::to_string(id) + " " + lease.drive + " " + lease.blade + " " +
                        std::string(to_string(lease.mode)) + " " + std::string(to_string(lease.state)) + " epoch " +
                        std::to_string(lease.epoch) + " " + std::string(to_string(lease.ending)) + " slot " +
                        std::to_string(lease.slot);
            }
        }
        return text;
    }

    std::mt19937_64 random_;
    State state_;
    Instant now_ = Instant(std::chrono::hours(1));
    models::DataPath data_path_;
    std::map<std::string, models::BladeModel> blades_;
    std::set<std::string> connected_;
    bool data_path_connected_ = false;
    bool faults_ = true;
    std::deque<protocol::Table> tables_;
    std::deque<protocol::DataPathObserved> reports_;
    std::map<std::string, std::deque<protocol::Desired>> desired_;
    std::map<std::string, std::deque<protocol::BladeObserved>> observed_;
    protocol::LocalAcquire local_wish_;
    std::set<std::pair<std::string, Epoch>> granted_;
    int sessions_ = 0;
};

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

void weather(std::uint64_t seed) {
    try {
        Storm storm(seed);
        storm.rage(400);
        storm.calm();
    } catch (const std::exception& error) {
        BOOST_FAIL("LEASE_SEED=" << seed << ": " << error.what());
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lease_random)

BOOST_AUTO_TEST_CASE(faults_let_two_in_at_once_or_leave_a_waiter_standing) {
    const std::uint64_t only = number_from("LEASE_SEED", 0);
    const std::uint64_t first = only ? only : std::random_device{}() + std::uint64_t{1};
    const std::uint64_t count = only ? 1 : number_from("LEASE_SEEDS", 150);
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        weather(seed);
    }
}

BOOST_AUTO_TEST_CASE(what_a_seed_once_found_is_back) {
    // An eject by the host of a medium whose successor had gone before the arbiter was restarted.
    weather(1192387857);
}

BOOST_AUTO_TEST_SUITE_END()
