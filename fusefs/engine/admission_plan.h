// What an incoming table changes: the rules of doc/PROTOCOL.md, "Arbiter and the data path", without I/O, clock or
// thread. Whoever calls commits the new state before anything of it is acted upon (admission_table.h).
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/protocol/messages.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct DriveRow {
    protocol::TableDrive drive;
    bool listed = true;  // false: in no table any more, kept until its last admission has ended
    // The generation whose writes may be on their way (write_intent.h); 0: none are.
    std::uint64_t writes_marked = 0;
    bool operator==(const DriveRow&) const = default;
};

struct AdmissionRow {
    Admission admission;
    bool revoking = false;  // its gate is closed for ever; not yet fenced
    bool operator==(const AdmissionRow&) const = default;
};

// What is durable. Everything that is admitted anywhere is in it; what is not in it is not admitted.
struct TableState {
    Term term = 0;
    std::map<std::string, DriveRow> drives;
    std::map<std::string, Epoch> floors;  // the highest epoch ever admitted or fenced; outlives the drive
    std::map<std::pair<std::string, Epoch>, AdmissionRow> admissions;             // (drive, epoch)
    std::map<std::tuple<std::string, std::string, Epoch>, protocol::Fenced> fenced;  // until no table asks any more
    bool operator==(const TableState&) const = default;
};

struct Refusal {
    Admission admission;
    std::string why;
    bool operator==(const Refusal&) const = default;
};

// EPROTO for a table whose term is lower than one seen before.
Result<TableState> apply_table(const TableState& state, const protocol::Table& table, std::vector<Refusal>& refused);

// One admission more, by the same rules. EINVAL with the reason, `state` unchanged.
Status admit(TableState& state, const Admission& admission);

// The start of a fence: its gate is to be closed. False: it is not admitted (any more).
bool revoke(TableState& state, const protocol::FenceOrder& target);

// The end of a fence. The answer is kept for the arbiter.
void record_fenced(TableState& state, const protocol::Fenced& fenced);

// The drive's write-intent mark. It goes with the drive: without it in the table there is nothing to be marked.
void mark_writes(TableState& state, const std::string& drive, std::uint64_t generation, bool set);

// Local leases (drive, epoch) whose files are open.
using LocalEpochs = std::set<std::pair<std::string, Epoch>>;

// After a restart nobody holds the pseudo-blade's leases any more, but those in `still_open`: they are revoked. Everything
// else is in force again.
void revoke_local(TableState& state, const LocalEpochs& still_open);

}  // namespace drivebay
