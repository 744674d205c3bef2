// The lease core: step(state, event) → actions. No clock, thread, socket or random inside: every event brings the time
// (CLOCK_BOOTTIME) and whatever else must come from outside. The caller commits `changes` to the store before it lets
// any other action become visible; if the commit fails it must stop, because the state is ahead of the store.
//
// Messages may be lost, repeated or late in any way that links allow: both sides tell whole states, and what was said
// of an epoch stays true for ever, because an epoch is granted once.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "arbiter/core/lease_table.h"

namespace drivebay::arbiter {

// ---- events

// The first event of a run, after the state was read from the store and given its term.
struct Started {};
// Time went by: at next_deadline() at the latest.
struct Tick {};

struct AddDrive {
    Drive drive;  // probed
};
struct RemoveDrive {
    std::string name;
};
struct RefreshDrive {
    std::string name;
};
struct AddBlade {
    std::string name;
};
struct RemoveBlade {
    std::string name;
};

enum class Policy { queue, no_queue, take, force };

struct Present {
    std::string drive;
    std::vector<std::string> blades;
    bool all = false;  // those of them that are still there
    Mode access = Mode::read;
    std::optional<int> slot;
    Policy policy = Policy::queue;
    std::optional<Duration> deadline;  // of take
    std::string request;               // the same in each repetition of one request; empty: never repeated
};
struct Withdraw {
    std::string drive;
    std::vector<std::string> blades;
    bool all = false;
    bool force = false;
    std::optional<Duration> deadline;
};
struct LeaveQueue {
    LeaseId lease = 0;
};

// Ends one lease at once, whoever has it, and with it its presentation.
struct Revoke {
    LeaseId lease = 0;
};

struct BladeArrived {
    protocol::BladeHello hello;
    std::string fresh_session;  // used if the old one cannot be resumed
};
struct BladeReported {
    std::string blade;
    protocol::BladeObserved observed;
};
struct BladeRenewed {
    std::string blade;
    Instant since;  // when the renewal came whose answer was heard: the session lives from there
};
struct BladeLeft {
    std::string blade;
};

struct DataPathArrived {
    protocol::DataPathHello hello;
};
struct DataPathReported {
    protocol::DataPathObserved observed;
};
struct DataPathLeft {};
struct LocalAcquired {
    protocol::LocalAcquire request;
};
struct LocalReleased {
    protocol::LocalRelease release;
};

using Happening = std::variant<Started, Tick, AddDrive, RemoveDrive, RefreshDrive, AddBlade, RemoveBlade, Present,
                               Withdraw, LeaveQueue, Revoke, BladeArrived, BladeReported, BladeRenewed, BladeLeft,
                               DataPathArrived, DataPathReported, DataPathLeft, LocalAcquired, LocalReleased>;

struct Event {
    Instant now;
    Happening what;
    std::int64_t wall_ms = 0;  // since 1970, for display only
    std::string by = {};       // who asked for it, for the audit log; empty: nobody did
};

// ---- actions

// Which stored rows are to be written as they now stand in the state, or deleted where they are no longer there.
struct Changes {
    std::set<std::string> drives;
    std::set<std::string> blades;
    std::set<std::string> epochs;
    std::set<LeaseId> leases;
    std::set<std::string> requests;
    bool term = false;
    bool empty() const {
        return drives.empty() && blades.empty() && epochs.empty() && leases.empty() && requests.empty() && !term;
    }
};

// A fact for the audit log.
struct AuditEntry {
    std::string event = {};  // "granted", "fenced", …
    std::string drive = {};
    std::string blade = {};
    LeaseId lease = 0;
    Epoch epoch = 0;
    std::string mode = {};
    std::string detail = {};
    std::string by = {};  // whoever asked for it, as far as it is just what was asked for; empty: nobody
};

struct Refusal {
    int status = 409;  // HTTP's: 404 no such thing, 409 what is there forbids it, 503 what is needed is not there
    std::string message;
};

struct Actions {
    Changes changes;
    bool table = false;                    // send the data path its table
    std::set<std::string> desired;         // send these blades their desired state
    std::set<std::string> dropped_blades;  // end their links: they are no longer known
    std::vector<AuditEntry> audit;
    std::vector<protocol::LocalAnswer> local_answers;
    // Of an operator's request or a hello: refused, and nothing was changed by it.
    std::optional<Refusal> refusal;
    std::vector<LeaseId> leases;  // that the request is about, in the order of its blades
    std::optional<protocol::Welcome> welcome;
    // A later arbiter leads: the sentence with which this one must end. Nothing else of these actions is to be told.
    std::optional<std::string> deposed;
};

Actions step(State& state, const Event& event);

// When step() wants a Tick at the latest; nothing: never.
std::optional<Instant> next_deadline(const State& state);

// ---- questions

struct Holder {
    std::string blade;
    Mode mode = Mode::read;
    Epoch epoch = 0;
};

// Whom a waiting lease waits for: holders first, then those before it in the queue. Empty for any other. Its own
// blade's former lease is not among them: it ends for this one's sake, and nobody has to be waited for.
std::vector<Holder> behind(const State& state, const Lease& lease);

// Why a drive can be granted to nobody just now, whoever asks; empty: it can.
std::string hindrance(const State& state, const std::string& drive);
// The part of it that lies with the drive and the data path.
std::string out_of_order(const State& state, const std::string& drive);

// Checks that can be made before a new drive is probed.
std::optional<Refusal> check_new_drive(const State& state, const std::string& name);

}  // namespace drivebay::arbiter
