// drivebayfs of the simulated management module: the real admission rules, gates and reconnect barriers over drives
// that take their time. The shell does what TableKeeper and ServedDrive do in the daemon, in their order: durable
// before it is acted upon or told; a fence is closed gate, nothing in flight, flush, durable, told.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "fusefs/engine/admission_plan.h"
#include "fusefs/engine/gate.h"
#include "fusefs/nbd_server/instance_barrier.h"
#include "tests/sim/ledger.h"
#include "tests/sim/process.h"
#include "tests/sim/weather.h"

namespace drivebay::sim {

// One NBD request. Blocks count from `block`, `count` of them.
struct NbdRequest {
    enum class Kind { read, write, flush };
    std::uint64_t id = 0;
    Kind kind = Kind::read;
    std::size_t block = 0;
    std::size_t count = 1;
    Sequence write = 0;
};

// What the server says on one connection.
struct NbdAnswer {
    enum class Kind {
        entered,   // the negotiation is over
        over,      // that epoch is over, for ever
        refused,   // not now
        answered,  // the request `id`, with `error`
        shut,      // the connection is at its end
    };
    Kind kind = Kind::answered;
    std::string boot_id = {};
    bool read_only = false;
    std::uint64_t id = 0;
    int error = 0;
};

class DataPathNode : public Process {
public:
    using Connection = nbd::InstanceBarrier::Connection;
    struct Links {
        std::function<void(protocol::Message)> arbiter;  // on the link that is open now
        std::function<void(Connection, NbdAnswer)> nbd;
        std::function<void()> died;
    };
    DataPathNode(Scheduler& scheduler, Weather& weather, Ledger& ledger, Links links)
        : Process(scheduler), weather_(weather), ledger_(ledger), links_(std::move(links)) {}

    // ---- from the arbiter
    protocol::DataPathHello hello() const;
    // False: it is refused and the link is to be closed.
    bool take(const protocol::Table& table);
    void take(const protocol::LocalAnswer& answer);

    // ---- from blades
    void connect(Connection connection, const Holding& view, std::uint64_t instance);
    void request(Connection connection, const NbdRequest& request);
    void disconnect(Connection connection);

    // ---- what local users do
    void use_locally(const std::string& drive, Mode mode);
    void stop_using_locally();

    // The machine loses power, which is more than kill().
    void power_cut();
    const TableState& disk() const { return disk_; }
    bool quiet() const;

protected:
    void started() override;
    void killed() override;

private:
    using Key = std::pair<std::string, Epoch>;
    struct View {
        Admission admission;
        Gate gate;
        nbd::InstanceBarrier barrier;
    };
    struct Client {
        std::weak_ptr<View> view;
        Holding holding;
        std::uint64_t instance = 0;
        unsigned in_flight = 0;
        bool entered = false;
        bool shut = false;  // no request of it is read any more
    };
    struct InFlight {
        Holding by;
        NbdRequest request;
    };

    void commit(TableState next);
    void bring_about();
    void open_views();
    void begin_fence(const Admission& admission);
    void drained(const Admission& admission);
    void finish_fence(const protocol::Fenced& fenced);
    void observe();
    void open_drive(const std::string& name, std::uint64_t generation);
    void enter(Connection connection, Client& client);
    void left(Connection connection);
    void shut(Connection connection);
    void perform(Connection connection, std::shared_ptr<View> view, const NbdRequest& request);
    void complete(std::uint64_t io, Connection connection, const std::shared_ptr<View>& view, Ledger::Promise promise);
    void apply(const InFlight& io);
    void write_locally();
    Holding holding(const Admission& admission) const { return {admission.blade, admission.drive, admission.epoch}; }
    Duration disk_latency();

    Weather& weather_;
    Ledger& ledger_;
    Links links_;

    // Durable.
    TableState disk_;
    unsigned boots_ = 1;

    // Of this run.
    TableState table_;
    std::uint64_t version_ = 0;
    std::map<std::string, std::uint64_t> opened_;  // drive → generation
    std::set<std::string> opening_;
    std::map<Key, std::shared_ptr<View>> views_;
    std::set<Key> announced_;
    std::set<Key> fencing_;
    std::set<Key> releasing_;
    std::map<Connection, Client> clients_;
    std::map<std::uint64_t, InFlight> in_flight_;
    std::uint64_t last_io_ = 0;
    std::uint64_t asked_ = 0;
    protocol::LocalAcquire asked_for_;
    std::set<Key> local_;
};

}  // namespace drivebay::sim
