// One blade: its service processor with gadgetd (the real planner) and drivebayfs, the kernel's LUNs between them, and
// the host that uses what is in them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gadgetd/gadget_planner.h"
#include "tests/sim/blade_fs.h"
#include "tests/sim/ledger.h"
#include "tests/sim/process.h"
#include "tests/sim/weather.h"

namespace drivebay::sim {

// One LUN as the kernel has it. Outlives gadgetd and drivebayfs, not the machine.
struct SimLun {
    std::shared_ptr<BladeClient> file;  // null: no medium
    std::uint64_t wish = 0;
    bool read_only = true;
    bool locked = false;
    unsigned outstanding = 0;
};

class BladeNode : public Process {  // the process is gadgetd
public:
    struct Links {
        std::function<void(std::uint64_t link, protocol::Message)> arbiter;
        std::function<void(std::uint64_t link)> left;  // the link is closed from this side
    };
    BladeNode(Scheduler& scheduler, Weather& weather, Ledger& ledger, std::string name, BladeClient::Network network,
              Links links, Duration ttl);

    void power_on();
    // Everything on it ends at once, its LUNs, journal and session too.
    void power_off();
    bool powered() const { return powered_; }

    // ---- gadgetd's session
    void hears(std::uint64_t link, const protocol::Message& message);
    void link_lost(std::uint64_t link);
    void drop_link();

    // ---- the host
    void host_ejects(int slot);
    void unlock_doors();
    bool is_loaded(int slot) const { return luns_.at(slot).file != nullptr; }
    // False: the host stops reading and writing.
    bool busy_host = true;

    const std::string& name() const { return name_; }
    // For whoever reads a failure: what its slots are doing.
    std::string standing() const;
    BladeFs fs;
    static constexpr int slots = 2;

protected:
    void started() override;
    void killed() override;

private:
    void connect();
    void say(protocol::Message message);
    void report();
    void renew(std::uint64_t link);
    void feed(const gadgetd::GadgetEvent& event);
    bool perform(const gadgetd::Record& action);
    bool perform(const gadgetd::Inspect& action);
    bool perform(const gadgetd::Insert& action);
    bool perform(const gadgetd::Eject& action);
    bool perform(const gadgetd::Drain& action);
    void look_around();
    // What the kernel does later, whoever asked for it is still there or not.
    void in_kernel(Duration delay, std::function<void()> what);
    void put_out(int slot, bool by_host);
    std::string file_of(int slot) const;
    void host_works(int slot);
    Duration drifted(Duration duration) const {
        return Duration(static_cast<Duration::rep>(static_cast<double>(duration.count()) * drift_));
    }

    Weather& weather_;
    Ledger& ledger_;
    const std::string name_;
    Links links_;
    const Duration ttl_;
    const double drift_;  // how fast its clock is
    bool powered_ = false;
    unsigned boots_ = 0;
    unsigned runs_ = 0;                // of gadgetd
    std::map<int, Holding> ejecting_;  // done by the kernel, and gadgetd does not know yet
    std::set<Holding> doubted_;        // of which a restarted gadgetd could not tell whether they were ever in
    std::map<int, SimLun> luns_;

    // The run folder: outlives gadgetd, not the machine.
    std::map<int, gadgetd::JournalEntry> journal_;
    std::string session_;
    Term term_ = 0;

    // Of this run of gadgetd.
    gadgetd::GadgetPlan plan_;
    std::uint64_t link_ = 0;
    bool welcomed_ = false;
    Instant heard_{};
    std::uint64_t seq_ = 0;
    std::uint64_t links_made_ = 0;
    bool session_begun_ = false;  // once every slot was seen
    std::uint64_t timer_ = 0;
    std::optional<protocol::BladeObserved> told_;
};

}  // namespace drivebay::sim
