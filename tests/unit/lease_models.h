// Models of the lease core's counterparts, for its tests: a data path and blades that keep doc/PROTOCOL.md to the
// letter and complain aloud where the core would make them break a promise.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include "arbiter/core/desired_state.h"
#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter::models {

// What a model sees and must never see.
struct BrokenPromise : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class DataPath {
public:
    // Applies a table as the real one does; what it fences is drained at once unless `stuck`.
    void apply(const protocol::Table& table) {
        if (table.term < term_ || (table.term == term_ && table.version < version_)) {
            return;
        }
        term_ = table.term;
        version_ = table.version;
        generations_.clear();
        for (const auto& drive : table.drives) {
            generations_[drive.name] = drive.generation;
        }
        fenced_.clear();
        for (const auto& order : table.fence) {
            if (stuck) {
                continue;
            }
            std::erase_if(admitted, [&order](const Admission& a) {
                return a.drive == order.drive && a.blade == order.blade && a.epoch == order.epoch;
            });
            std::erase(local, protocol::LocalUse{order.drive, order.epoch});
            floors[order.drive] = std::max(floors[order.drive], order.epoch);
            fenced_.push_back({order.drive, order.blade, order.epoch, true, ""});
        }
        for (const Admission& wish : table.admit) {
            if (admitted.contains(wish) || wish.epoch <= floors[wish.drive]) {
                continue;
            }
            for (const Admission& other : admitted) {
                if (other.drive == wish.drive && (other.blade == wish.blade || !coexist(other.mode, wish.mode))) {
                    throw BrokenPromise("asked to admit " + wish.blade + " beside " + other.blade);
                }
            }
            admitted.insert(wish);
            floors[wish.drive] = wish.epoch;
        }
    }

    protocol::DataPathHello hello() const {
        protocol::DataPathHello hello;
        hello.boot_id = "boot";
        hello.term = term_;
        hello.floors = floors;
        hello.admitted.assign(admitted.begin(), admitted.end());
        hello.local = local;
        return hello;
    }

    protocol::DataPathObserved observed() const {
        protocol::DataPathObserved observed;
        observed.version = version_;
        for (const auto& [name, generation] : generations_) {
            const bool is_failed = failed.contains(name);
            observed.drives.push_back({name, generation,
                                       is_failed ? protocol::DriveState::failed : protocol::DriveState::ready, 1 << 20,
                                       512, is_failed ? "its disk is broken" : ""});
        }
        observed.admitted.assign(admitted.begin(), admitted.end());
        observed.fenced = fenced_;
        return observed;
    }

    bool admits(const std::string& drive, const std::string& blade) const {
        for (const Admission& admission : admitted) {
            if (admission.drive == drive && admission.blade == blade) {
                return true;
            }
        }
        return false;
    }

    std::set<Admission> admitted;
    std::map<std::string, Epoch> floors;
    std::vector<protocol::LocalUse> local;
    std::set<std::string> failed;
    bool stuck = false;

private:
    Term term_ = 0;
    std::uint64_t version_ = 0;
    std::map<std::string, std::uint64_t> generations_;
    std::vector<protocol::Fenced> fenced_;
};

class BladeModel {
public:
    BladeModel(std::string blade_name, std::vector<DriveKind> kinds) : name(std::move(blade_name)) {
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            slots[static_cast<int>(i)].slot = static_cast<int>(i);
            slots[static_cast<int>(i)].kind = kinds[i];
        }
    }

    void apply(const protocol::Desired& desired) {
        if (desired.term < term || (desired.term == term && desired.version < version)) {
            return;
        }
        term = desired.term;
        version = desired.version;
        std::map<int, protocol::DesiredSlot> wanted;
        for (const auto& slot : desired.slots) {
            if (!wanted.emplace(slot.slot, slot).second) {
                throw BrokenPromise("two media for slot " + std::to_string(slot.slot) + " of " + name);
            }
        }
        for (auto& [number, slot] : slots) {
            const auto wish = wanted.find(number);
            const bool same =
                wish != wanted.end() && wish->second.drive == slot.drive && wish->second.epoch == slot.epoch;
            if (!slot.drive.empty() && (!same || (wish->second.eject && !slot.host_locked))) {
                put_out(slot, false);
            }
            const bool is_over = wish != wanted.end() && (ended.contains({wish->second.drive, wish->second.epoch}) ||
                                                          put_out_by_host.contains({wish->second.drive, wish->second.wish}));
            if (wish != wanted.end() && slot.drive.empty() && !wish->second.eject && !is_over) {
                slot.drive = wish->second.drive;
                slot.epoch = wish->second.epoch;
                wishes[number] = wish->second.wish;
                slot.state = refuses_media ? protocol::SlotState::error : protocol::SlotState::loaded;
                slot.error = refuses_media ? "no" : "";
            }
        }
    }

    void host_ejects(int slot) {
        if (!slots.at(slot).drive.empty()) {
            put_out(slots.at(slot), true);
        }
    }

    void reboot() {
        boot_id += "+";
        session.clear();
        version = 0;
        ended.clear();
        put_out_by_host.clear();
        for (auto& [number, slot] : slots) {
            const DriveKind kind = slot.kind;
            slot = {};
            slot.slot = number;
            slot.kind = kind;
        }
    }

    protocol::BladeObserved observed() const {
        protocol::BladeObserved observed;
        observed.version = version;
        for (const auto& [number, slot] : slots) {
            observed.slots.push_back(slot);
        }
        return observed;
    }

    protocol::BladeHello hello() const {
        protocol::BladeHello hello;
        hello.blade = name;
        hello.session = session;
        hello.boot_id = boot_id;
        hello.term = term;
        hello.observed = observed();
        return hello;
    }

    std::string name;
    std::string session;
    std::string boot_id = "boot";
    Term term = 0;
    std::uint64_t version = 0;
    std::map<int, protocol::ObservedSlot> slots;
    bool refuses_media = false;
    protocol::Outcome drain = protocol::Outcome::drained;

private:
    void put_out(protocol::ObservedSlot& slot, bool by_host) {
        if (slot.state != protocol::SlotState::error) {
            slot.last = protocol::LastMedium{slot.drive, slot.epoch, drain, by_host, wishes[slot.slot]};
            ended.insert({slot.drive, slot.epoch});
            if (by_host) {
                put_out_by_host.insert({slot.drive, wishes[slot.slot]});
            }
        }
        slot.drive.clear();
        slot.epoch = 0;
        slot.error.clear();
        slot.state = by_host ? protocol::SlotState::ejected_by_host : protocol::SlotState::empty;
    }

    std::set<std::pair<std::string, Epoch>> ended;
    std::map<int, std::uint64_t> wishes;  // by slot
    std::set<std::pair<std::string, std::uint64_t>> put_out_by_host;
};

}  // namespace drivebay::arbiter::models
