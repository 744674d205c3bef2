// What a blade's drivebayfs does for one (drive, epoch): connections as rising instances, the order of what is
// unanswered (the real UnansweredRequests), what is not flushed, and the verdict of a drain. The shell follows NbdDrive
// and BladeDrive.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "fusefs/nbd_client/unanswered_requests.h"
#include "gadgetd/gadget_events.h"
#include "tests/sim/data_path_node.h"
#include "tests/sim/ledger.h"
#include "tests/sim/process.h"
#include "tests/sim/weather.h"

namespace drivebay::sim {

class BladeClient : public std::enable_shared_from_this<BladeClient> {
public:
    // The way to the server. Connections are named by numbers that no other client has.
    struct Network {
        std::function<std::uint64_t()> new_connection;
        std::function<std::uint64_t()> new_instance;
        std::function<void(std::uint64_t connection, const Holding&, std::uint64_t instance)> connect;
        std::function<void(std::uint64_t connection, const NbdRequest&)> request;
        std::function<void(std::uint64_t connection)> disconnect;
    };
    using Done = std::function<void(int error)>;

    BladeClient(Process& host_process, Scheduler& scheduler, Weather& weather, Ledger& ledger, Network network,
                Holding what);

    // Connects unless it is connected; then `opened` with 0, ENOENT (over) or EIO.
    void open(Done opened);
    void release();
    void write(std::size_t block, std::size_t count, Sequence write, Done done);
    void flush(Done done);
    void drain(std::function<void(gadgetd::DrainAnswer)> told);

    void hears(std::uint64_t connection, const NbdAnswer& answer);
    // The server's end is gone.
    void reset(std::uint64_t connection);

    // Its process was killed: the host gets errors, and nobody knows any more what was unanswered.
    void die();

    std::uint64_t connection() const { return connection_; }
    gadgetd::SourceState source() const;
    bool read_only() const { return read_only_; }
    const Holding& what() const { return what_; }

private:
    enum class State { connecting, online, offline, over, failed };
    struct Operation {
        IoRequest request;
        NbdRequest wire;
        Done done;
        UnansweredRequests::Entry* entry = nullptr;
        Instant since{};
        std::uint64_t sent = 0;         // flush: the writes answered before it was sent
        Ledger::Promise promised = {};  // flush: what was acknowledged by then
        unsigned power_cuts = 0;        // that there had been when it was sent
    };
    void connect();
    void lost();
    void watch();
    void submit(std::shared_ptr<Operation> operation);
    void send_due();
    void answered(std::shared_ptr<Operation> operation, int error);
    void fail_all(int error);
    void end(State state);
    void try_drain();
    gadgetd::DrainAnswer verdict() const;

    Process& process_;
    Scheduler& scheduler_;
    Weather& weather_;
    Ledger& ledger_;
    Network network_;
    Holding what_;  // the same for ever, but for a planted bug
    State state_ = State::connecting;
    std::uint64_t connection_ = 0;  // 0: none
    bool entered_ = false;
    Instant heard_{};
    std::string boot_id_;
    bool read_only_ = true;
    NbdExport export_;
    UnansweredRequests unanswered_{8};
    std::map<std::uint64_t, std::shared_ptr<Operation>> operations_;
    std::uint64_t last_id_ = 0;
    std::uint64_t writes_answered_ = 0;
    std::uint64_t writes_flushed_ = 0;
    std::uint64_t refused_writes_ = 0;
    unsigned handles_ = 0;
    bool was_opened_ = false;
    bool draining_ = false;
    bool settling_ = false;
    std::vector<Done> opening_;
    std::vector<std::function<void(gadgetd::DrainAnswer)>> drains_;
    bool watching_ = false;
};

}  // namespace drivebay::sim
