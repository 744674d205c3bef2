// What goes into the gadget planner and what comes out of it: plain values, so that every order of events can be
// played without a kernel.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/protocol/messages.h"
#include "lib/protocol/types.h"

namespace drivebay::gadgetd {

// One drive for one epoch, as a LUN holds it.
struct Medium {
    std::string drive;
    Epoch epoch = 0;
    std::string file;        // as the kernel spells it in lun.N/file; empty until it was read back
    std::uint64_t wish = 0;  // the desired slot's
    bool operator==(const Medium&) const = default;
};

// What is known of a slot for certain, kept in the run folder, so that after a restart of the daemon an empty LUN is
// never a riddle: `loaded` and empty means that the host put it out; at `inserting` and empty drivebayfs knows whether
// the LUN ever had the file open.
struct JournalEntry {
    enum class Phase { none, inserting, loaded, leaving };
    Phase phase = Phase::none;
    Medium medium;         // unless phase is none
    bool by_host = false;  // leaving: who put it out
    std::optional<protocol::LastMedium> last;
    std::vector<protocol::LastMedium> put_out = {};  // by the host, for a wish; the latest last
    std::string why = {};                            // of the last eject that counts as the host's: which policy it was
    Instant since{};                                 // loaded: since when; 0: not known
    bool operator==(const JournalEntry&) const = default;
};

// lun.N/file as just read, without its newline; empty: no medium.
using LunReading = Result<std::string>;

// The answer of the blade's drivebayfs about one (drive, epoch).
struct DrainAnswer {
    enum class Kind {
        answered,     // `outcome` is what can be known, `unknown` included (it never saw that epoch)
        busy,         // it was asked and has not finished within the question's limit
        unreachable,  // nobody could be asked
    };
    Kind kind = Kind::unreachable;
    protocol::Outcome outcome = protocol::Outcome::unknown;
    std::string error;
    bool opened = true;  // answered: a file of that epoch was open there since it started
};

enum class SourceState { online, offline, ended };
using SourceStates = std::map<std::pair<std::string, Epoch>, SourceState>;  // by drive and epoch

// Bytes that the host has read and written of a medium, by drive and epoch.
using Traffic = std::map<std::pair<std::string, Epoch>, std::uint64_t>;

// ---- events

// A link to the arbiter has begun: versions of desired states count anew on it.
struct LinkBegan {};
struct DesiredArrived {
    protocol::Desired desired;
};
// The results of the actions below, one for each, in the order of each slot's actions.
struct Inspected {
    int slot = 0;
    LunReading file;
};
struct Inserted {
    int slot = 0;
    Error failure;  // code 0: none
    LunReading file;
};
struct Ejected {
    int slot = 0;
    bool was_empty = false;  // there was nothing to eject: the host was faster
    Error failure;
    LunReading file;
    bool policy = false;  // the action's
};
struct Drained {
    int slot = 0;
    DrainAnswer answer;
};
// What drivebayfs says of the media that it serves here, asked at `asked_at`; nothing: it did not answer.
struct SourcesSeen {
    std::optional<SourceStates> states;
    Instant asked_at{};
    Traffic traffic{};
};
// The host has reset the USB device, or has left it and come back.
struct HostReset {};
struct Tick {};

using GadgetEvent = std::variant<LinkBegan, DesiredArrived, Inspected, Inserted, Ejected, Drained, SourcesSeen, HostReset, Tick>;

// ---- actions

// To be durable (against the daemon's death, not the machine's) before any later action of the same step begins.
struct Record {
    int slot = 0;
    JournalEntry entry;
};
struct Inspect {
    int slot = 0;
};
// Into an empty LUN: cdrom, ro, inquiry_string, file, and read back.
struct Insert {
    int slot = 0;
    std::string drive;
    Epoch epoch = 0;
    bool cdrom = false;
    bool read_only = false;
};
struct Eject {
    int slot = 0;
    bool force = false;   // also through a door that the host has locked
    bool policy = false;  // counts as the host's own
};
// One question to drivebayfs, answered within `limit`.
struct Drain {
    int slot = 0;
    std::string drive;
    Epoch epoch = 0;
    Duration limit{};
};

using GadgetAction = std::variant<Record, Inspect, Insert, Eject, Drain>;

}  // namespace drivebay::gadgetd
