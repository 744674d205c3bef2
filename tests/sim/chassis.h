// A whole chassis in one thread: a management module, three blades with hosts, an operator, the links between them, and
// the weather. storm() lets everything go wrong, calm() lets everything work again and demands that everybody is
// served.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/arbiter_node.h"
#include "tests/sim/blade_node.h"
#include "tests/sim/data_path_node.h"
#include "tests/sim/ledger.h"
#include "tests/sim/weather.h"

namespace drivebay::sim {

inline const std::vector<std::string> drive_names = {"d0", "d1"};
inline const std::vector<std::string> blade_names = {"b0", "b1", "b2"};
inline const std::string management = "mm";
inline constexpr Duration ttl = std::chrono::seconds(2);

class Chassis {
public:
    Chassis(std::uint64_t seed, bool traced);

    void storm();
    // Throws BrokenInvariant (I7) where somebody is left waiting.
    void calm();

    std::uint64_t faults() const { return weather_.faults; }
    std::uint64_t steps() const { return scheduler_.steps(); }
    const Ledger& ledger() const { return ledger_; }

private:
    // One direction between two machines.
    struct Wire {
        unsigned cuts = 0;  // that are in force
        Instant last{};     // when what was sent last arrives
    };
    using Words = std::function<void()>;

    std::unique_ptr<ArbiterNode> make_arbiter(std::size_t number);
    std::unique_ptr<BladeNode> make_blade(const std::string& name);

    // Control plane: may be lost, repeated, late.
    void carry(Wire& wire, Process& to, Words words);
    // Data path: in order and complete while the connection lasts; a cut wire keeps it back.
    void carry_in_order(Wire& wire, Process& to, Instant& last, Words words);
    void deliver_when_mended(Wire& wire, const Scheduler::Action& words);
    Wire& wire(const std::string& from, const std::string& to) { return wires_[{from, to}]; }
    void cut(const std::string& from, const std::string& to, Duration duration);

    void link_data_path();
    void data_path_link_lost();
    void blade_says(BladeNode& blade, std::uint64_t link, protocol::Message message);
    void arbiter_says(std::size_t arbiter, const std::string& blade, std::uint64_t link, protocol::Message message);

    void disturb();
    void disturb_one();
    void operate();
    void demand();
    void restart(Process& process, Duration least, Duration most);
    void pause(Process& process, Duration duration);
    void usurp();
    void roll_back();
    std::size_t leader() const { return data_path_at_; }

    bool all_served() const;
    std::string standing() const;

    Scheduler scheduler_;
    Weather weather_;
    Ledger ledger_;
    std::map<std::pair<std::string, std::string>, Wire> wires_;
    std::vector<std::unique_ptr<ArbiterNode>> arbiters_;
    std::unique_ptr<DataPathNode> data_path_;
    std::map<std::string, std::unique_ptr<BladeNode>> blades_;

    // Who talks to which arbiter, and on which of their links.
    std::size_t data_path_at_ = 0;
    std::uint64_t data_path_link_ = 0;
    std::map<std::string, std::size_t> blade_at_;

    struct NbdWire {
        BladeNode* blade = nullptr;
        bool open = true;
        Instant last_up{};
        Instant last_down{};
    };
    std::map<std::uint64_t, NbdWire> nbd_;
    std::uint64_t last_connection_ = 0;
    std::uint64_t last_instance_ = 0;
    arbiter::State old_copy_;
    bool using_locally_ = false;
    bool calm_ = false;
    std::uint64_t requests_ = 0;
    std::vector<arbiter::Present> asked_;
};

}  // namespace drivebay::sim
