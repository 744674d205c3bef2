// A whole system around the lease core with links that never fail: the stage of its unit tests.
#pragma once

#include <functional>

#include "tests/unit/lease_models.h"

namespace drivebay::arbiter::models {

class World {
public:
    explicit World(bool with_data_path = true) {
        state.term = 1;
        step(Started{});
        if (with_data_path) {
            connect_data_path();
        }
    }

    Actions step(Happening what) {
        Actions actions = arbiter::step(state, Event{now, std::move(what)});
        audit.insert(audit.end(), actions.audit.begin(), actions.audit.end());
        if (on_step) {
            on_step(actions);
        }
        return actions;
    }

    void connect_data_path() { step(DataPathArrived{data_path.hello()}); }

    void add_drive(const std::string& name, DriveKind kind = DriveKind::disk, bool read_only = false) {
        Drive drive;
        drive.name = name;
        drive.source = "/" + name;
        drive.kind = kind;
        drive.read_only = read_only || kind == DriveKind::cdrom;
        drive.size = 1 << 20;
        step(AddDrive{drive});
        settle();
    }

    BladeModel& add_blade(const std::string& name,
                          std::vector<DriveKind> slots = {DriveKind::cdrom, DriveKind::disk, DriveKind::disk}) {
        step(AddBlade{name});
        blades.emplace(name, BladeModel(name, std::move(slots)));
        connect(name);
        return blades.at(name);
    }

    Actions connect(const std::string& name) {
        Actions actions = step(BladeArrived{blades.at(name).hello(), "session of " + name});
        if (actions.welcome) {
            blades.at(name).session = actions.welcome->session;
            connected.insert(name);
        }
        return actions;
    }

    void disconnect(const std::string& name) {
        connected.erase(name);
        step(BladeLeft{name});
    }

    // Tells everybody everything until nothing changes any more.
    void settle() {
        for (int round = 0; round < 12; ++round) {
            if (state.data_path_online) {
                data_path.apply(data_path_table(state));
                step(DataPathReported{data_path.observed()});
            }
            for (const std::string& name : connected) {
                blades.at(name).apply(desired_state(state, name));
                step(BladeReported{name, blades.at(name).observed()});
            }
        }
    }

    // Time goes by, with everybody connected renewing.
    void pass(Duration duration) {
        const Instant end = now + duration;
        while (now < end) {
            now = std::min(end, now + std::chrono::seconds(1));
            for (const std::string& name : connected) {
                step(BladeRenewed{name, now});
            }
            step(Tick{});
        }
    }

    Actions present(const std::string& drive, const std::string& blade, Mode access = Mode::read,
                    Policy policy = Policy::queue, std::optional<int> slot = {}) {
        Present request;
        request.drive = drive;
        request.blades = {blade};
        request.access = access;
        request.policy = policy;
        request.slot = slot;
        Actions actions = step(request);
        settle();
        return actions;
    }

    Actions withdraw(const std::string& drive, const std::string& blade, bool force = false) {
        Withdraw request;
        request.drive = drive;
        request.blades = {blade};
        request.force = force;
        Actions actions = step(request);
        settle();
        return actions;
    }

    // The presentation of (drive, blade); it must be there.
    const Lease& lease(const std::string& drive, const std::string& blade) {
        for (const auto& [id, candidate] : state.leases) {
            if (candidate.drive == drive && candidate.blade == blade && candidate.wanted && !is_gone(candidate)) {
                return candidate;
            }
        }
        throw std::runtime_error(drive + " is not presented to " + blade);
    }

    bool is_presented(const std::string& drive, const std::string& blade) {
        for (const auto& [id, candidate] : state.leases) {
            if (candidate.drive == drive && candidate.blade == blade && candidate.wanted && !is_gone(candidate)) {
                return true;
            }
        }
        return false;
    }

    bool is_loaded(const std::string& drive, const std::string& blade) {
        for (const auto& [number, slot] : blades.at(blade).slots) {
            if (slot.drive == drive && slot.state == protocol::SlotState::loaded) {
                return true;
            }
        }
        return false;
    }

    int slot_of(const std::string& drive, const std::string& blade) { return lease(drive, blade).slot; }

    bool was_audited(const std::string& event) const {
        for (const AuditEntry& entry : audit) {
            if (entry.event == event) {
                return true;
            }
        }
        return false;
    }

    State state;
    Instant now = Instant(std::chrono::hours(1));
    DataPath data_path;
    std::map<std::string, BladeModel> blades;
    std::set<std::string> connected;
    std::vector<AuditEntry> audit;
    std::function<void(const Actions&)> on_step;  // sees what each step did, those of the helpers included
};

}  // namespace drivebay::arbiter::models
