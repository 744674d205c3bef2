// What happens to the chassis: what goes wrong in it, and what its operator wants of it.
#include "tests/sim/chassis.h"

namespace drivebay::sim {

using namespace std::chrono_literals;

// ---- what goes wrong

void Chassis::restart(Process& process, Duration least, Duration most) {
    scheduler_.after(weather_.between(least, most), [&process] {
        if (!process.alive()) {
            process.start();
        }
    });
}

void Chassis::pause(Process& process, Duration duration) {
    process.pause();
    scheduler_.after(duration, [&process] { process.resume(); });
}

// Another arbiter is started on an old copy of the store and takes the socket; the former one lives on.
void Chassis::usurp() {
    const std::size_t other = 1 - leader();
    if (arbiters_[other]->alive()) {
        return;
    }
    weather_.trace("another arbiter is started on {}", weather_.chance(50) ? "an old copy" : "a copy");
    arbiters_[other]->disk = weather_.chance(50) ? old_copy_ : arbiters_[leader()]->disk;
    ledger_.store_rolled_back();
    data_path_link_lost();
    data_path_at_ = other;
    arbiters_[other]->start();
    for (const auto& name : blade_names) {
        scheduler_.after(weather_.between(1ms, 5s), [this, name, other] {
            blade_at_[name] = other;
            blades_[name]->drop_link();
        });
    }
    if (weather_.chance(40)) {
        // … and the data path goes back to the former one.
        scheduler_.after(weather_.between(100ms, 4s), [this, other] {
            if (leader() == other && arbiters_[1 - other]->alive()) {
                data_path_link_lost();
                data_path_at_ = 1 - other;
                ledger_.store_rolled_back();  // it has not heard what was told to the other one
                for (const auto& name : blade_names) {
                    blade_at_[name] = 1 - other;
                    blades_[name]->drop_link();
                }
            }
        });
    }
}

void Chassis::roll_back() {
    ArbiterNode& arbiter = *arbiters_[leader()];
    arbiter.kill();
    weather_.trace("its store is rolled back");
    arbiter.disk = old_copy_;
    ledger_.store_rolled_back();
}

void Chassis::disturb() {
    if (!weather_.stormy) {
        return;
    }
    disturb_one();
    scheduler_.after(weather_.between(20ms, 700ms), [this] { disturb(); });
}

void Chassis::disturb_one() {
    BladeNode& blade = *blades_.at(blade_names[weather_.below(blade_names.size())]);
    const Duration while_ = weather_.chance(70) ? weather_.between(50ms, 1500ms) : weather_.between(2s, 7s);
    ++weather_.faults;
    switch (weather_.below(20)) {
        case 0: cut(blade.name(), management, while_); break;
        case 1: cut(management, blade.name(), while_); break;
        case 2:
            cut(blade.name(), management, while_);
            cut(management, blade.name(), while_);
            break;
        case 3:
            for (int i = 0; i < 5; ++i) {
                scheduler_.after(i * 400ms, [this, name = blade.name()] { cut(name, management, 200ms); });
            }
            break;
        case 4:
        case 5: arbiters_[leader()]->kill(); break;
        case 6:
        case 7:
        case 8:
            data_path_->kill();
            restart(*data_path_, 5ms, 400ms);
            break;
        case 9:
            blade.kill();
            restart(blade, 5ms, 500ms);
            break;
        case 10:
            if (blade.powered()) {
                blade.fs.kill();
                restart(blade.fs, 5ms, 500ms);
            }
            break;
        case 11:
            if (weather_.chance(50)) {
                blade.power_off();
                scheduler_.after(weather_.between(300ms, 6s), [&blade] {
                    if (!blade.powered()) {
                        blade.power_on();
                    }
                });
            }
            break;
        case 12:
            if (weather_.chance(30)) {
                arbiters_[leader()]->kill();
                data_path_->power_cut();
                restart(*data_path_, 500ms, 3s);
            }
            break;
        case 13: pause(*arbiters_[leader()], while_); break;
        case 14: pause(*data_path_, while_); break;
        case 15:
            pause(blade, while_);
            pause(blade.fs, while_);
            break;
        case 16:
            if (weather_.chance(8)) {
                roll_back();
            } else if (weather_.chance(30)) {
                old_copy_ = arbiters_[leader()]->disk;
            }
            break;
        case 17:
            if (weather_.chance(10)) {
                usurp();
            }
            break;
        case 18: blade.drop_link(); break;
        default: data_path_link_lost(); break;
    }
    for (Process* process :
         {static_cast<Process*>(data_path_.get()), static_cast<Process*>(arbiters_[leader()].get())}) {
        if (!process->alive()) {
            restart(*process, 5ms, 500ms);
        }
    }
    if (blade.powered() && !blade.alive()) {
        restart(blade, 5ms, 300ms);
    }
    link_data_path();
}

// ---- what people want

void Chassis::operate() {
    if (!weather_.stormy) {
        return;
    }
    ArbiterNode& arbiter = *arbiters_[leader()];
    const std::string& drive = drive_names[weather_.below(drive_names.size())];
    const std::string& blade = blade_names[weather_.below(blade_names.size())];
    switch (weather_.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
        case 5: {
            arbiter::Present request;
            request.drive = drive;
            request.blades = {blade};
            request.access = weather_.chance(40) ? Mode::read : Mode::write;
            request.policy = static_cast<arbiter::Policy>(weather_.below(weather_.chance(60) ? 1 : 4));
            request.request = fmt::format("request {}", ++requests_);
            arbiter.ask(request);
            asked_.push_back(request);
            if (weather_.chance(15)) {  // thought better of: what was granted is taken back before any host had it
                scheduler_.after(weather_.between(1ms, 30ms), [this, drive, blade] {
                    arbiter::Withdraw withdrawal;
                    withdrawal.drive = drive;
                    withdrawal.blades = {blade};
                    arbiters_[leader()]->ask(withdrawal);
                });
            }
            break;
        }
        case 6: {
            arbiter::Withdraw request;
            request.drive = drive;
            request.blades = {blade};
            request.force = weather_.chance(30);
            arbiter.ask(request);
            break;
        }
        case 7: arbiter.ask(arbiter::LeaveQueue{arbiter.state().last_lease}); break;
        case 8: arbiter.ask(arbiter::RefreshDrive{drive}); break;
        case 9:
            if (data_path_->alive() && !data_path_->paused()) {
                using_locally_ = !using_locally_;
                if (using_locally_) {
                    data_path_->use_locally(drive, weather_.chance(60) ? Mode::write : Mode::read);
                } else {
                    data_path_->stop_using_locally();
                }
            }
            break;
        case 10: blades_.at(blade)->host_ejects(static_cast<int>(weather_.below(BladeNode::slots))); break;
        default:
            if (!asked_.empty()) {
                arbiter.ask(asked_[weather_.below(asked_.size())]);  // once more: its answer was lost
            }
            break;
    }
    scheduler_.after(weather_.between(20ms, 900ms), [this] { operate(); });
}

// Two drives, three blades, each for writing: whatever is left over from the storm, everybody has to get it in turn.
void Chassis::demand() {
    for (const auto& drive : drive_names) {
        for (const auto& blade : blade_names) {
            arbiter::Present request;
            request.drive = drive;
            request.blades = {blade};
            request.access = Mode::write;
            arbiters_[leader()]->ask(request);
        }
    }
}

}  // namespace drivebay::sim
