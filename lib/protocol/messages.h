// The messages of doc/PROTOCOL.md as types. Reading is strict: a missing field or one of the wrong kind is an Error that
// names it; unknown fields are ignored.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay::protocol {

// ---- arbiter and gadgetd -------------------------------------------------------------------------------------------

enum class SlotState { empty, loaded, ejected_by_host, error, offline };
std::string_view to_string(SlotState state);

enum class Outcome { drained, lost, unknown };
std::string_view to_string(Outcome outcome);

// The medium that a slot held before: its release.
struct LastMedium {
    std::string drive;
    Epoch epoch = 0;
    Outcome outcome = Outcome::unknown;
    bool by_host = false;
    std::uint64_t wish = 0;  // the DesiredSlot's
    bool operator==(const LastMedium&) const = default;
};

struct ObservedSlot {
    int slot = 0;
    DriveKind kind = DriveKind::disk;
    SlotState state = SlotState::empty;
    std::string drive;  // empty: none
    Epoch epoch = 0;
    bool host_locked = false;
    std::string error;
    std::optional<LastMedium> last;
    bool operator==(const ObservedSlot&) const = default;
};

struct BladeObserved {
    std::uint64_t version = 0;  // of the desired state that this answers; 0: none yet
    std::string udc;            // "not attached", "configured", …
    std::string speed;
    std::vector<ObservedSlot> slots;
    bool operator==(const BladeObserved&) const = default;
};

struct BladeHello {
    int protocol = 1;
    std::string blade;
    std::string session;  // empty: none
    std::string boot_id;
    Term term = 0;
    BladeObserved observed;
};

struct Welcome {
    std::string session;
    Term term = 0;
    std::int64_t ttl_ms = 0;
};

struct Refused {
    std::string reason;
};

struct DesiredSlot {
    int slot = 0;
    std::string drive;
    Epoch epoch = 0;
    Mode access = Mode::read;
    DriveKind kind = DriveKind::disk;
    std::uint64_t size = 0;
    bool eject = false;
    // Which of the operator's wishes this is for, whatever its epoch; 0: not told. What a host put out is not put in
    // again for the same wish.
    std::uint64_t wish = 0;
    bool operator==(const DesiredSlot&) const = default;
};

struct Desired {
    Term term = 0;
    std::uint64_t version = 0;
    std::vector<DesiredSlot> slots;
    bool operator==(const Desired&) const = default;
};

struct Renew {
    std::uint64_t seq = 0;
};

struct Renewed {
    std::uint64_t seq = 0;
    std::int64_t ttl_ms = 0;
};

// That the blade has heard the answer: only then does the session live on, from the renewal.
struct Heard {
    std::uint64_t seq = 0;
};

// ---- arbiter and the data path ---------------------------------------------------------------------------------------

struct LocalUse {
    std::string drive;
    Epoch epoch = 0;
    bool ending = false;  // its gate is closed, its fence is not done
    bool operator==(const LocalUse&) const = default;
};

struct DataPathHello {
    int protocol = 1;
    std::string boot_id;
    Term term = 0;
    std::map<std::string, Epoch> floors;
    std::vector<Admission> admitted;
    std::vector<LocalUse> local;
};

struct TableDrive {
    std::string name;
    std::string source;
    DriveKind kind = DriveKind::disk;
    bool read_only = false;
    std::uint64_t generation = 1;
    bool operator==(const TableDrive&) const = default;
};

struct FenceOrder {
    std::string drive;
    std::string blade;
    Epoch epoch = 0;
    auto operator<=>(const FenceOrder&) const = default;
};

struct Table {
    Term term = 0;
    std::uint64_t version = 0;
    std::vector<TableDrive> drives;
    std::vector<Admission> admit;
    std::vector<FenceOrder> fence;
    bool operator==(const Table&) const = default;
};

enum class DriveState { ready, failed };
std::string_view to_string(DriveState state);

struct ObservedDrive {
    std::string name;
    std::uint64_t generation = 1;
    DriveState state = DriveState::ready;
    std::uint64_t size = 0;
    std::uint64_t block_size = 512;
    std::string error;
    bool operator==(const ObservedDrive&) const = default;
};

struct Fenced {
    std::string drive;
    std::string blade;
    Epoch epoch = 0;
    bool flushed = false;  // false with an error: what was not flushed may be lost
    std::string error;
    bool operator==(const Fenced&) const = default;
};

struct Counters {
    std::string drive;
    std::string blade;
    std::uint64_t reads = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t writes = 0;
    std::uint64_t written_bytes = 0;
    std::uint64_t errors = 0;  // answered otherwise, less what an ended epoch refused
    bool operator==(const Counters&) const = default;
    void add(const Counters& other) {
        reads += other.reads;
        read_bytes += other.read_bytes;
        writes += other.writes;
        written_bytes += other.written_bytes;
        errors += other.errors;
    }
};

struct DataPathObserved {
    std::uint64_t version = 0;
    std::vector<ObservedDrive> drives;
    std::vector<Admission> admitted;
    std::vector<Fenced> fenced;
    std::vector<Counters> counters;
    bool operator==(const DataPathObserved&) const = default;
};

struct Probe {
    std::uint64_t id = 0;
    std::string name;
    std::string source;
    std::string kind;  // "auto", "disk", "cdrom"
    bool read_only = false;
};

struct Probed {
    std::uint64_t id = 0;
    bool ok = false;
    std::uint64_t size = 0;
    DriveKind kind = DriveKind::disk;
    bool read_only = false;
    std::string notice;
    std::string error;
};

struct LocalAcquire {
    std::uint64_t id = 0;
    std::string drive;
    Mode mode = Mode::read;
};

struct LocalAnswer {
    std::uint64_t id = 0;
    bool granted = false;
    Epoch epoch = 0;
    std::string error;
};

struct LocalRelease {
    std::string drive;
    Epoch epoch = 0;
};

// A client of the data path was refused what it asked for: an event.
struct Denied {
    std::string peer;
    std::string identity;  // proved, or claimed in vain, or empty
    std::string asked;
    std::string reason;
};

// ---- encoding --------------------------------------------------------------------------------------------------------

using Message = std::variant<BladeHello, Welcome, Refused, Desired, BladeObserved, Renew, Renewed, Heard, DataPathHello,
                             Table, DataPathObserved, Probe, Probed, LocalAcquire, LocalAnswer, LocalRelease, Denied>;

// Which `observed` a link carries: the only type name that two links share.
enum class Side { blade, data_path };

nlohmann::json encode(const Message& message);
Result<Message> decode(const nlohmann::json& message, Side side);

}  // namespace drivebay::protocol
