#include "arbiter/store/stored_rows.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

namespace drivebay::arbiter {
namespace {

std::uint64_t as_unsigned(std::int64_t value) {
    return static_cast<std::uint64_t>(value);
}

// Runs `row` for each row of `sql`; the first false of it is a row that this version does not understand.
template <class Row>
Status each_row(store::Database& database, const std::string& sql, Row row) {
    auto statement = database.prepare(sql);
    if (!statement) {
        return statement.error();
    }
    for (;;) {
        const auto more = statement->step();
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return success();
        }
        if (!row(*statement)) {
            return Error{EBADMSG,
                         fmt::format("the arbiter's store has a row that makes no sense ({}: {}); it was left as it "
                                     "is",
                                     sql, statement->text(0))};
        }
    }
}

Status load_drives(store::Database& database, State& state) {
    return each_row(database, "SELECT name, source, kind, read_only, generation, size FROM drives",
                    [&state](const store::Statement& row) {
                        Drive drive;
                        drive.name = row.text(0);
                        drive.source = row.text(1);
                        const auto kind = parse_drive_kind(row.text(2));
                        drive.kind = kind.value_or(DriveKind::disk);
                        drive.read_only = row.number(3) != 0;
                        drive.generation = as_unsigned(row.number(4));
                        drive.size = as_unsigned(row.number(5));
                        state.drives[drive.name] = drive;
                        return kind.has_value();
                    });
}

Status load_blades(store::Database& database, State& state) {
    const Status blades =
        each_row(database, "SELECT name, session, boot_id FROM blades", [&state](const store::Statement& row) {
            Blade blade;
            blade.name = row.text(0);
            blade.session = row.text(1);
            blade.boot_id = row.text(2);
            state.blades[blade.name] = blade;
            return true;
        });
    if (!blades) {
        return blades;
    }
    return each_row(database, "SELECT blade, slot, kind FROM slots", [&state](const store::Statement& row) {
        const auto blade = state.blades.find(row.text(0));
        const auto kind = parse_drive_kind(row.text(2));
        if (blade == state.blades.end() || !kind) {
            return false;
        }
        blade->second.slots[static_cast<int>(row.number(1))] = *kind;
        return true;
    });
}

Status load_leases(store::Database& database, State& state) {
    return each_row(database,
                    "SELECT id, drive, blade, mode, slot, state, epoch, queue_order, wanted, seen_loaded, ending, "
                    "successor, taker, "
                    "notice, outcome, wish, since_ms FROM leases",
                    [&state](const store::Statement& row) {
                        Lease lease;
                        lease.id = as_unsigned(row.number(0));
                        lease.drive = row.text(1);
                        lease.blade = row.text(2);
                        const auto mode = parse_mode(row.text(3));
                        lease.slot = static_cast<int>(row.number(4));
                        const auto lease_state = parse_lease_state(row.text(5));
                        lease.epoch = as_unsigned(row.number(6));
                        lease.order = row.number(7);
                        lease.wanted = row.number(8) != 0;
                        lease.seen_loaded = row.number(9) != 0;
                        const auto ending = parse_ending(row.text(10));
                        lease.successor = as_unsigned(row.number(11));
                        lease.taker = as_unsigned(row.number(12));
                        lease.notice = row.text(13);
                        lease.outcome = row.text(14);
                        lease.wish = as_unsigned(row.number(15));
                        lease.since_ms = row.number(16);
                        const bool known = state.drives.contains(lease.drive) &&
                                           (is_local(lease) || state.blades.contains(lease.blade));
                        if (!mode || !lease_state || !ending || !known) {
                            return false;
                        }
                        lease.mode = *mode;
                        lease.state = *lease_state;
                        lease.ending = *ending;
                        state.leases[lease.id] = lease;
                        return true;
                    });
}

Status load_requests(store::Database& database, State& state) {
    return each_row(database, "SELECT id, entered, leases FROM requests", [&state](const store::Statement& row) {
        Request& request = state.requests[row.text(0)];
        request.entered = as_unsigned(row.number(1));
        const auto leases = nlohmann::json::parse(row.text(2), nullptr, false);
        if (!leases.is_array()) {
            return false;
        }
        for (const auto& id : leases) {
            if (!id.is_number_unsigned()) {
                return false;
            }
            request.leases.push_back(id.get<LeaseId>());
        }
        return true;
    });
}

}  // namespace

Result<State> read_rows(store::Database& database) {
    State state;
    if (Status drives = load_drives(database, state); !drives) {
        return drives.error();
    }
    if (Status blades = load_blades(database, state); !blades) {
        return blades.error();
    }
    if (Status leases = load_leases(database, state); !leases) {
        return leases.error();
    }
    if (Status requests = load_requests(database, state); !requests) {
        return requests.error();
    }
    const Status epochs = each_row(database, "SELECT drive, epoch FROM epochs", [&state](const store::Statement& row) {
        state.epochs[row.text(0)] = as_unsigned(row.number(1));
        return true;
    });
    if (!epochs) {
        return epochs.error();
    }
    const Status numbers = each_row(database, "SELECT key, value FROM numbers", [&state](const store::Statement& row) {
        if (row.text(0) == "term") {
            state.term = as_unsigned(row.number(1));
        } else if (row.text(0) == "last_lease") {
            state.last_lease = as_unsigned(row.number(1));
        }
        return true;
    });
    if (!numbers) {
        return numbers.error();
    }
    return state;
}

}  // namespace drivebay::arbiter
