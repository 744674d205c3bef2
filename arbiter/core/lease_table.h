// All that the arbiter knows: drives, blades with their sessions, leases, epochs. Plain data; step() of lease_core.h is
// the only one that changes it. What is marked "stored" is in the store before anyone outside sees its effect.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/protocol/messages.h"

namespace drivebay::arbiter {

using LeaseId = std::uint64_t;  // 0: none

struct Timing {
    Duration ttl = std::chrono::seconds(10);                // of a blade's session
    Duration withdraw_deadline = std::chrono::seconds(10);  // of a polite withdrawal
    Duration take_deadline = std::chrono::seconds(30);      // of --take
    Duration admit_patience = std::chrono::seconds(5);      // a ready drive's admission may stay away this long
    Duration fence_patience = std::chrono::seconds(10);     // a drain is reported as stuck after this long
    Duration drain_patience = std::chrono::seconds(60);     // a blade may owe the report of what it put out this long
};

struct Drive {
    // stored
    std::string name;
    std::string source;
    DriveKind kind = DriveKind::disk;
    bool read_only = false;
    std::uint64_t generation = 1;  // rises with each refresh
    std::uint64_t size = 0;
    // as the data path says; nothing until it does
    std::optional<protocol::ObservedDrive> observed;
};

struct Blade {
    // stored
    std::string name;
    std::map<int, DriveKind> slots;  // as last reported; empty: never connected
    std::string session;             // empty: none yet
    std::string boot_id;
    // of this run
    bool connected = false;  // a link is open
    bool live = false;       // the session has not expired
    Instant deadline{};      // of a live session
    protocol::BladeObserved observed;
    std::map<int, std::int64_t> slots_since_ms;  // wall time, for people: when each slot came to be as it is
    std::uint64_t version = 0;  // of its desired state; rises across terms too
    std::optional<Instant> raised_term;  // when it last had this arbiter go above a term that it told of
    // What it has lately told that stands in the audit log on its word alone.
    Instant told_since{};
    std::uint64_t told = 0;
    std::uint64_t untold = 0;  // past what is told: only counted, until the next that is
    // Since the start: it held something when the arbiter ended, and has neither reported nor run out of time.
    bool awaited = false;
};

// waiting → granted (epoch stored, the data path has not said that it admitted it) → held → revoking (the blade is
// asked to put it out) → fencing (the data path is told to end it) → gone. A lease bears one epoch in its life; what is
// presented again after an end is a new lease, its successor; both are for one wish.
enum class LeaseState { waiting, granted, held, revoking, fencing, gone };

// Why a lease ends.
enum class Ending {
    none,
    withdrawn,   // an operator
    taken,       // --take or --force of another blade
    changed,     // the same blade asked for other access
    refreshed,   // the drive's source is opened anew
    ejected,     // the host put it out
    dropped,     // the blade lost or put out what nobody asked it to
    expired,     // the session expired and another blade waits
    rebooted,    // the blade's service processor came back with another boot id
    unadmitted,  // the data path does not admit its epoch
    left,        // a waiter left the queue
    refused,     // a --take that the holder's host did not let happen
    closed,      // the last local close
};

struct Lease {
    // stored
    LeaseId id = 0;
    std::string drive;
    std::string blade;
    Mode mode = Mode::read;
    int slot = -1;  // none: of @local
    LeaseState state = LeaseState::waiting;
    Epoch epoch = 0;         // 0 while waiting
    std::int64_t order = 0;  // in the queue: the lowest first
    bool wanted = true;      // it is a presentation
    bool seen_loaded = false;
    std::uint64_t wish = 0;  // the operator's, the same in all that succeed each other; given with the first grant
    Ending ending = Ending::none;
    LeaseId successor = 0;
    std::int64_t since_ms = 0;  // wall time, for people: when it was asked for, then when it was granted
    LeaseId taker = 0;          // the lease whose --take asks for this one's end
    std::string notice;         // for the operator, from the start
    std::string outcome;        // a sentence, once there is one
    // of this run
    bool wait_told = false;           // waiting: the audit log has it
    Instant deadline{};               // revoking: until when the host may keep the door locked
    bool drain_owed = false;          // revoking: the deadline passed while it was out and not reported as drained
    std::uint64_t asked_version = 0;  // revoking: the desired state that first asked
    Instant fencing_since{};
    bool stuck_told = false;
    std::optional<Instant> unadmitted_since;  // ready drive, and yet not admitted
};

// An operator's request that was entered, so that its repetition is answered and not entered again.
struct Request {
    std::uint64_t entered = 0;  // the higher, the later
    std::vector<LeaseId> leases;
};

struct State {
    // stored
    std::map<std::string, Drive> drives;
    std::map<std::string, Blade> blades;
    std::map<LeaseId, Lease> leases;
    std::map<std::string, Epoch> epochs;      // the last of each drive name, removed ones included: never forgotten
    std::map<std::string, Request> requests;  // the last ones, by the id that the operator's side gave them
    Term term = 0;
    LeaseId last_lease = 0;
    std::int64_t last_order = 0;
    std::int64_t first_order = 0;
    // of this run
    Timing timing;
    // What the store and the data path have made of the term. Blades make it higher by less than highest_leap in a run.
    Term sure_term = 0;
    bool data_path_online = false;  // it has said hello on the link that is open now
    // It has taken a table of this term. From then on no other arbiter can come to this term: each that it comes to
    // goes above what it tells.
    bool data_path_obeys = false;
    std::string data_path_boot_id;
    std::uint64_t table_version = 0;
    // Admissions of the data path that no lease stands for (the store was lost or rolled back): to be fenced.
    std::map<protocol::FenceOrder, Mode> strays;
    std::map<std::pair<std::string, std::string>, protocol::Counters> counters;  // (drive, blade)
    std::deque<LeaseId> gone;  // the last ones, so that whoever waits for them can still read their outcome
    // Of an arbiter that this store does not know of: a blade has heard this higher term. Until the data path has told
    // how high to go, nobody can say which of the two is the later one.
    Term rival_term = 0;
    Instant rival_since{};
};

inline constexpr std::size_t gone_kept = 512;
inline constexpr std::size_t requests_kept = 512;

// How far above `sure_term` a term may be that a blade tells of. Each start of an arbiter and each takeover makes a term
// higher by one: this is one a minute for two years, and far from where terms end (stored_state_check.cc), so that no
// blade can make up one that the arbiter never gets away from.
inline constexpr Term highest_leap = Term{1} << 20;

// Versions start at the term's block, so that an answer to another term's state is never taken for one to this term's.
inline std::uint64_t first_version(Term term) {
    return term << 24;
}

std::string_view to_string(LeaseState state);
std::string_view to_string(Ending ending);
std::optional<LeaseState> parse_lease_state(std::string_view text);
std::optional<Ending> parse_ending(std::string_view text);

inline bool is_local(const Lease& lease) {
    return lease.blade == "@local";
}

// Granted, held or revoking: the data path admits it or is about to.
inline bool is_active(const Lease& lease) {
    return lease.state == LeaseState::granted || lease.state == LeaseState::held || lease.state == LeaseState::revoking;
}

inline bool is_gone(const Lease& lease) {
    return lease.state == LeaseState::gone;
}

// May these two be admitted on one drive at once?
inline bool coexist(Mode one, Mode other) {
    return one == Mode::read && other == Mode::read;
}

}  // namespace drivebay::arbiter
