#include "tests/sim/chassis.h"

namespace drivebay::sim {

using namespace std::chrono_literals;
using arbiter::LeaseState;

namespace {

arbiter::Timing timing() {
    arbiter::Timing timing;
    timing.ttl = ttl;
    timing.withdraw_deadline = 2s;
    timing.take_deadline = 3s;
    timing.admit_patience = 2s;
    timing.fence_patience = 3s;
    timing.drain_patience = 6s;
    return timing;
}

}  // namespace

Chassis::Chassis(std::uint64_t seed, bool traced) : weather_(scheduler_, seed, traced) {
    arbiters_.push_back(make_arbiter(0));
    arbiters_.push_back(make_arbiter(1));
    arbiter::State& disk = arbiters_[0]->disk;
    disk.timing = timing();
    for (const auto& name : drive_names) {
        arbiter::Drive& drive = disk.drives[name];
        drive.name = name;
        drive.source = "/" + name;
        drive.size = 1 << 20;
        disk.epochs[name] = 0;
    }
    for (const auto& name : blade_names) {
        disk.blades[name].name = name;
    }
    old_copy_ = disk;
    DataPathNode::Links links;
    links.arbiter = [this](protocol::Message message) {
        ArbiterNode& arbiter = *arbiters_[leader()];
        if (data_path_link_ != 0 && arbiter.alive()) {
            scheduler_.after(weather_.between(50us, 1ms),
                             arbiter.in_this_life([&arbiter, link = data_path_link_, message = std::move(message)] {
                                 arbiter.data_path_says(link, message);
                             }));
        }
    };
    links.nbd = [this](DataPathNode::Connection connection, NbdAnswer answer) {
        NbdWire& way = nbd_.at(connection);
        if (way.open && way.blade->fs.alive()) {
            BladeNode& blade = *way.blade;
            carry_in_order(wire(management, blade.name()), blade.fs, way.last_down,
                           [&blade, connection, answer] { blade.fs.hears(connection, answer); });
        }
    };
    links.died = [this] {
        data_path_link_lost();
        for (auto& [connection, way] : nbd_) {
            way.open = false;
        }
        for (auto& [name, blade] : blades_) {
            // A machine that can be reached says that nobody is there.
            if (wire(management, name).cuts == 0) {
                scheduler_.after(1ms, blade->fs.in_this_life([&fs = blade->fs] { fs.server_died(); }));
            }
        }
    };
    data_path_ = std::make_unique<DataPathNode>(scheduler_, weather_, ledger_, std::move(links));
    for (const auto& name : blade_names) {
        blades_[name] = make_blade(name);
    }
    weather_.stormy = false;
    arbiters_[0]->start();
    data_path_->start();
    link_data_path();
    for (auto& [name, blade] : blades_) {
        blade->power_on();
    }
    scheduler_.run_until(scheduler_.now() + 1s);
}

std::unique_ptr<ArbiterNode> Chassis::make_arbiter(std::size_t number) {
    ArbiterNode::Links links;
    links.table = [this](std::uint64_t link, const protocol::Table& table) {
        if (link != data_path_link_) {
            return;
        }
        const auto take = data_path_->in_this_life([this, link, table] {
            if (link == data_path_link_ && !data_path_->take(table)) {
                data_path_link_lost();
            }
        });
        scheduler_.after(weather_.between(50us, 1ms), take);
        if (weather_.strikes(30)) {
            // Once more and late; and even from a former link, where a later arbiter has been obeyed since.
            scheduler_.after(weather_.between(1ms, 900ms), data_path_->in_this_life([this, link, table] {
                const bool may_come = link == data_path_link_ || data_path_->disk().term > table.term;
                if (may_come && !data_path_->take(table)) {
                    data_path_link_lost();
                }
            }));
        }
    };
    links.local_answer = [this](std::uint64_t link, const protocol::LocalAnswer& answer) {
        if (link == data_path_link_) {
            scheduler_.after(weather_.between(50us, 1ms), data_path_->in_this_life([this, link, answer] {
                if (link == data_path_link_) {
                    data_path_->take(answer);
                }
            }));
        }
    };
    links.blade = [this, number](const std::string& blade, std::uint64_t link, protocol::Message message) {
        arbiter_says(number, blade, link, std::move(message));
    };
    links.died = [this, number] {
        if (number == leader()) {
            data_path_link_lost();
        }
        for (auto& [name, blade] : blades_) {
            if (blade_at_[name] == number && wire(management, name).cuts == 0) {
                scheduler_.after(1ms, blade->in_this_life([&gadgetd = *blade] { gadgetd.drop_link(); }));
            }
        }
        if (number == leader()) {
            restart(*arbiters_[number], 5ms, 800ms);
        }
    };
    links.leads = [this, number](std::uint64_t link) { return number == leader() && data_path_link_ == link; };
    return std::make_unique<ArbiterNode>(scheduler_, weather_, ledger_, fmt::format("arbiter {}", number),
                                         std::move(links));
}

std::unique_ptr<BladeNode> Chassis::make_blade(const std::string& name) {
    BladeClient::Network network;
    network.new_connection = [this, name] {
        nbd_[++last_connection_].blade = blades_.at(name).get();
        return last_connection_;
    };
    network.new_instance = [this] { return ++last_instance_; };
    network.connect = [this, name](std::uint64_t connection, const Holding& what, std::uint64_t instance) {
        carry_in_order(wire(name, management), *data_path_, nbd_.at(connection).last_up,
                       [this, connection, what, instance] { data_path_->connect(connection, what, instance); });
    };
    network.request = [this, name](std::uint64_t connection, const NbdRequest& request) {
        carry_in_order(wire(name, management), *data_path_, nbd_.at(connection).last_up,
                       [this, connection, request] { data_path_->request(connection, request); });
    };
    network.disconnect = [this, name](std::uint64_t connection) {
        nbd_.at(connection).open = false;
        carry_in_order(wire(name, management), *data_path_, nbd_.at(connection).last_up,
                       [this, connection] { data_path_->disconnect(connection); });
    };
    BladeNode::Links links;
    links.arbiter = [this, name](std::uint64_t link, protocol::Message message) {
        blade_says(*blades_.at(name), link, std::move(message));
    };
    links.left = [this, name](std::uint64_t link) {
        ArbiterNode& arbiter = *arbiters_[blade_at_[name]];
        if (arbiter.alive()) {
            carry(wire(name, management), arbiter, [&arbiter, name, link] { arbiter.blade_left(name, link); });
        }
    };
    return std::make_unique<BladeNode>(scheduler_, weather_, ledger_, name, std::move(network), std::move(links), ttl);
}

// ---- links

void Chassis::carry(Wire& wire, Process& to, Words words) {
    if (!to.alive() || wire.cuts > 0) {
        weather_.faults += wire.cuts > 0 ? 1 : 0;
        return;
    }
    if (weather_.strikes(25)) {
        return;
    }
    const auto action = to.in_this_life(std::move(words));
    Duration delay = weather_.between(200us, 2ms);
    if (weather_.strikes(60)) {
        delay = weather_.between(5ms, 2500ms);  // others overtake it
    } else {
        wire.last = std::max(wire.last + 1us, scheduler_.now() + delay);
        delay = wire.last - scheduler_.now();
    }
    scheduler_.after(delay, action);
    if (weather_.strikes(25)) {
        scheduler_.after(delay + weather_.between(1ms, 2000ms), action);
    }
}

void Chassis::carry_in_order(Wire& wire, Process& to, Instant& last, Words words) {
    if (!to.alive()) {
        return;
    }
    const Duration delay = weather_.strikes(15) ? weather_.between(5ms, 1200ms) : weather_.between(200us, 2ms);
    last = std::max(last + 1us, scheduler_.now() + delay);
    scheduler_.after(last - scheduler_.now(),
                     [this, &wire, action = to.in_this_life(std::move(words))] { deliver_when_mended(wire, action); });
}

// As TCP does: sent again until it gets through. What stands behind it waits as long or longer.
void Chassis::deliver_when_mended(Wire& wire, const Scheduler::Action& words) {
    if (wire.cuts > 0) {
        scheduler_.after(150ms, [this, &wire, words] { deliver_when_mended(wire, words); });
    } else {
        words();
    }
}

void Chassis::cut(const std::string& from, const std::string& to, Duration duration) {
    ++weather_.faults;
    Wire& way = wire(from, to);
    ++way.cuts;
    weather_.trace("the way from {} to {} is cut", from, to);
    scheduler_.after(duration, [&way] { --way.cuts; });
}

void Chassis::link_data_path() {
    if (calm_) {
        scheduler_.after(500ms, [this] { link_data_path(); });
    }
    ArbiterNode& arbiter = *arbiters_[leader()];
    if (data_path_link_ == 0 && data_path_->alive() && arbiter.alive()) {
        const std::uint64_t link = data_path_link_ = ++last_connection_;
        scheduler_.after(weather_.between(1ms, 10ms), arbiter.in_this_life([this, &arbiter, link] {
            if (link == data_path_link_) {
                arbiter.data_path_arrives(link, data_path_->hello());
            }
        }));
    }
}

void Chassis::data_path_link_lost() {
    if (data_path_link_ == 0) {
        return;
    }
    const std::uint64_t link = std::exchange(data_path_link_, 0);
    ArbiterNode& arbiter = *arbiters_[leader()];
    if (arbiter.alive()) {
        scheduler_.after(weather_.between(0ms, 5ms),
                         arbiter.in_this_life([&arbiter, link] { arbiter.data_path_left(link); }));
    }
}

void Chassis::blade_says(BladeNode& blade, std::uint64_t link, protocol::Message message) {
    ArbiterNode& arbiter = *arbiters_[blade_at_[blade.name()]];
    carry(wire(blade.name(), management), arbiter, [&arbiter, name = blade.name(), link, message = std::move(message)] {
        arbiter.blade_says(name, link, message);
    });
}

void Chassis::arbiter_says(std::size_t arbiter, const std::string& name, std::uint64_t link,
                           protocol::Message message) {
    BladeNode& blade = *blades_.at(name);
    if (blade_at_[name] == arbiter) {
        carry(wire(management, name), blade,
              [&blade, link, message = std::move(message)] { blade.hears(link, message); });
    }
}

void Chassis::storm() {
    weather_.stormy = true;
    disturb();
    operate();
    scheduler_.run_until(scheduler_.now() + 25s);
}

bool Chassis::all_served() const {
    for (const auto& [id, lease] : arbiters_[leader()]->state().leases) {
        if (!is_gone(lease)) {
            return false;
        }
    }
    return true;
}

std::string Chassis::standing() const {
    std::string text;
    const auto& state = arbiters_[leader()]->state();
    for (const auto& [id, lease] : state.leases) {
        if (!is_gone(lease)) {
            text += fmt::format("\n    lease {} {} {} {} {} epoch {} {} slot {}", id, lease.drive, lease.blade,
                                to_string(lease.mode), to_string(lease.state), lease.epoch, to_string(lease.ending),
                                lease.slot);
            text += lease.state == LeaseState::waiting ? " " + hindrance(state, lease.drive) : "";
        }
    }
    for (const auto& [name, blade] : blades_) {
        text += blade->standing();
    }
    return text;
}

void Chassis::calm() {
    weather_.stormy = false;
    weather_.trace("the storm is over");
    scheduler_.run_until(scheduler_.now() + 8s);  // cuts and pauses end
    arbiters_[1 - leader()]->kill();
    for (auto& [name, blade] : blades_) {
        blade_at_[name] = leader();
        if (!blade->powered()) {
            blade->power_on();
        }
        for (Process* process : {static_cast<Process*>(blade.get()), static_cast<Process*>(&blade->fs)}) {
            if (!process->alive()) {
                process->start();
            }
        }
        blade->unlock_doors();
        blade->drop_link();
    }
    for (Process* process :
         {static_cast<Process*>(data_path_.get()), static_cast<Process*>(arbiters_[leader()].get())}) {
        if (!process->alive()) {
            process->start();
        }
    }
    data_path_->stop_using_locally();
    data_path_link_lost();
    calm_ = true;
    link_data_path();
    // A TTL until blades that were away are known to be, one drain, one second.
    scheduler_.run_until(scheduler_.now() + ttl + 6s + 1s);
    demand();
    for (int round = 0; round < 40 && !all_served(); ++round) {
        for (auto& [name, blade] : blades_) {
            blade->unlock_doors();
            for (int slot = 0; slot < BladeNode::slots; ++slot) {
                blade->busy_host = false;
                blade->host_ejects(slot);
            }
        }
        scheduler_.run_until(scheduler_.now() + 1s);
    }
    if (!all_served()) {
        throw BrokenInvariant("I7: with every fault gone and every host ejecting what it has, these were left:" +
                              standing());
    }
}

}  // namespace drivebay::sim
