// The core of gadgetd: what to do next with each slot, from what is wanted, what was read back and what came of the
// last action. Sans-IO: no clock, no thread, no file. A slot has at most one action under way besides records.
//
// The rules it keeps (doc/PROTOCOL.md, "Arbiter and gadgetd"):
//  - reported is what was read back, never what was asked;
//  - a medium that left is drained before its release is told, and its epoch is never inserted again;
//  - without a desired state (no arbiter since the start) nothing is put in or out;
//  - between two media the LUN is empty: the host sees one media change;
//  - what the host has put out does not come back for the same wish, whatever was in the slot meanwhile: an arbiter
//    on an older copy of its store may ask for it, and is told of the eject once more;
//  - what a policy puts out counts as put out by the host.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gadgetd/gadget_events.h"
#include "lib/base/clock.h"
#include "lib/protocol/messages.h"

namespace drivebay::gadgetd {

struct PlannerLimits {
    Duration poll_loaded = std::chrono::milliseconds(100);  // configfs does not notify of a host's eject
    Duration poll_empty = std::chrono::seconds(1);
    Duration locked_retry = std::chrono::milliseconds(250);
    Duration first_retry = std::chrono::milliseconds(100);  // doubled up to last_retry
    Duration last_retry = std::chrono::seconds(5);
    // A failure that may pass by itself (the export is not there yet) is told only when it is older than this.
    Duration transient_failure = std::chrono::seconds(2);
    Duration least_empty{};                     // between two media of one slot
    Duration stuck = std::chrono::seconds(10);  // an action under way for longer shows as offline
    Duration drain_retry = std::chrono::milliseconds(50);
    Duration drain = std::chrono::seconds(20);
    Duration drain_unreachable = std::chrono::seconds(5);
    // A loaded medium that a drivebayfs which answers does not know for so long is a file of one that has died.
    Duration source_missing = std::chrono::seconds(3);
    // Slots whose medium is put out, as if its host had done it, at a reset by the host that comes `reset_after` or more
    // after it was put in; or once the host has moved no byte of it for `idle_after`.
    std::set<int> detach_on_reset;
    Duration reset_after{};
    std::set<int> detach_on_idle;
    Duration idle_after = std::chrono::hours(1);
};

// How many of its host's ejects a slot remembers, until the machine reboots.
inline constexpr std::size_t ejects_kept = 16;

struct SlotPlan {
    bool exists = true;  // false: the arbiter lists a slot that this gadget has not
    DriveKind kind = DriveKind::disk;
    JournalEntry journal;  // what was last recorded
    bool inspected = false;

    // What the LUN held when last read: one of ours, or a file that is none of ours; both unset: empty.
    std::optional<Medium> medium;
    std::string foreign;
    // Out of the LUN, not yet drained.
    std::optional<Medium> leaving;
    bool leaving_by_host = false;
    bool in_doubt = false;  // `leaving` may never have been in the LUN
    Instant leaving_since{};
    std::optional<protocol::LastMedium> last;
    std::vector<protocol::LastMedium> put_out;  // by the host, for a wish; the latest last

    std::optional<protocol::DesiredSlot> wanted;
    std::optional<Medium> inserting;
    std::uint64_t inserting_for = 0;  // the version of the desired state that asked for it
    bool host_locked = false;
    SourceState source = SourceState::online;
    Instant loaded_at{};
    std::optional<std::uint64_t> moved;  // bytes, when last asked; nothing: never known
    Instant active_at{};                 // when that grew last, or could not be asked
    std::string detach;                  // why the medium is to be put out in its host's name; empty: it is not
    bool detach_by_force = false;
    std::string why;       // of `leaving` and then of `last`, where a policy put it out
    std::string siblings;  // the slots that share its interface: "6, 7"
    std::optional<Instant> missing_since;  // from drivebayfs' list

    bool busy = false;
    bool draining = false;  // what it is busy with has a limit of its own
    bool stuck = false;
    Instant busy_since{};
    Instant next_look{};     // when to read the LUN again
    Instant not_before{};    // of the next insert, eject or drain
    Instant empty_until{};   // no insert before
    Duration retry_after{};  // grows with each failure in a row; zero: none
    Instant failing_since{};
    Error failure;  // of the last insert or eject; code 0: none
    bool failure_told = false;
    std::string unreadable;  // why the last reading failed; empty: it did not
};

struct GadgetPlan {
    PlannerLimits limits;
    std::string mount;  // media are <mount>/<drive>@<epoch>
    std::map<int, SlotPlan> slots;
    bool wanted_known = false;
    Term term = 0;
    std::uint64_t version = 0;
    Instant stepped_at{};
};

// A slot as the journal left it. Call for every slot before the first step.
void add_slot(GadgetPlan& plan, int slot, DriveKind kind, JournalEntry journal);

// Takes one event and says what to do. Actions are to be begun in their order.
std::vector<GadgetAction> step(GadgetPlan& plan, Instant now, const GadgetEvent& event);

// True once every slot was read, or has hung too long for that to be waited for: only then is `observed` worth telling.
bool all_seen(const GadgetPlan& plan);

// When to send a Tick if nothing else happens. Nothing: an event must come first.
std::optional<Instant> next_deadline(const GadgetPlan& plan);

// The observed state, without the UDC's. In state `error`, drive and epoch are those that the sentence is about.
protocol::BladeObserved observed(const GadgetPlan& plan);

}  // namespace drivebay::gadgetd
