#include "arbiter/store/sqlite_store.h"

#include <fmt/format.h>

#include <cerrno>
#include <concepts>

namespace drivebay::arbiter {
namespace {

constexpr std::int64_t schema = 1;

constexpr const char* tables = R"(
CREATE TABLE numbers(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE drives(name TEXT PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, read_only INTEGER NOT NULL,
    generation INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blades(name TEXT PRIMARY KEY, session TEXT NOT NULL, boot_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE slots(blade TEXT NOT NULL, slot INTEGER NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY(blade, slot)) WITHOUT ROWID;
CREATE TABLE epochs(drive TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE leases(id INTEGER PRIMARY KEY, drive TEXT NOT NULL, blade TEXT NOT NULL, mode TEXT NOT NULL,
    slot INTEGER NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL, queue_order INTEGER NOT NULL,
    wanted INTEGER NOT NULL, seen_loaded INTEGER NOT NULL, ending TEXT NOT NULL, successor INTEGER NOT NULL,
    taker INTEGER NOT NULL, notice TEXT NOT NULL, outcome TEXT NOT NULL);
)";

std::int64_t as_number(std::uint64_t value) {
    return static_cast<std::int64_t>(value);
}
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
                                     "is: put a backup in its place",
                                     sql, statement->text(0))};
        }
    }
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
    auto database = store::Database::open(path);
    if (!database) {
        return database.error();
    }
    const auto version = database->schema_version();
    if (!version) {
        return version.error();
    }
    if (*version > schema) {
        return Error{EPROTO,
                     fmt::format("the store {} was written by a later drivebay (its schema is {}, this program knows "
                                 "{}); it was left as it is: install that version again",
                                 path, *version, schema)};
    }
    if (*version == 0) {
        const Status made = database->transaction([&database] {
            const Status created = database->execute(tables);
            return created ? database->set_schema_version(schema) : created;
        });
        if (!made) {
            return made.error();
        }
    }
    return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(*database)));
}

Status SqliteStore::load_drives(State& state) {
    return each_row(database_, "SELECT name, source, kind, read_only, generation, size FROM drives",
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

Status SqliteStore::load_blades(State& state) {
    const Status blades =
        each_row(database_, "SELECT name, session, boot_id FROM blades", [&state](const store::Statement& row) {
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
    return each_row(database_, "SELECT blade, slot, kind FROM slots", [&state](const store::Statement& row) {
        const auto blade = state.blades.find(row.text(0));
        const auto kind = parse_drive_kind(row.text(2));
        if (blade == state.blades.end() || !kind) {
            return false;
        }
        blade->second.slots[static_cast<int>(row.number(1))] = *kind;
        return true;
    });
}

Status SqliteStore::load_leases(State& state) {
    return each_row(database_,
                    "SELECT id, drive, blade, mode, slot, state, epoch, queue_order, wanted, seen_loaded, ending, "
                    "successor, taker, "
                    "notice, outcome FROM leases",
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

Result<State> SqliteStore::load() {
    State state;
    if (Status drives = load_drives(state); !drives) {
        return drives.error();
    }
    if (Status blades = load_blades(state); !blades) {
        return blades.error();
    }
    if (Status leases = load_leases(state); !leases) {
        return leases.error();
    }
    const Status epochs = each_row(database_, "SELECT drive, epoch FROM epochs", [&state](const store::Statement& row) {
        state.epochs[row.text(0)] = as_unsigned(row.number(1));
        return true;
    });
    if (!epochs) {
        return epochs.error();
    }
    const Status numbers = each_row(database_, "SELECT key, value FROM numbers", [&state](const store::Statement& row) {
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

template <class... Values>
Status SqliteStore::run(const std::string& sql, const Values&... values) {
    auto found = statements_.find(sql);
    if (found == statements_.end()) {
        auto prepared = database_.prepare(sql);
        if (!prepared) {
            return prepared.error();
        }
        found = statements_.emplace(sql, std::move(*prepared)).first;
    }
    store::Statement& statement = found->second;
    int index = 0;
    const auto bind = [&statement, &index](const auto& value) {
        if constexpr (std::integral<std::decay_t<decltype(value)>>) {
            statement.bind(++index, static_cast<std::int64_t>(value));
        } else {
            statement.bind(++index, std::string_view(value));
        }
    };
    (bind(values), ...);
    const auto done = statement.step();
    statement.reset();
    return done ? success() : Status(done.error());
}

Status SqliteStore::write_number(const std::string& key, std::int64_t value) {
    return run("INSERT OR REPLACE INTO numbers VALUES(?, ?)", key, value);
}

Status SqliteStore::write_drive(const State& state, const std::string& name) {
    const auto found = state.drives.find(name);
    if (found == state.drives.end()) {
        return run("DELETE FROM drives WHERE name = ?", name);
    }
    const Drive& drive = found->second;
    return run("INSERT OR REPLACE INTO drives VALUES(?, ?, ?, ?, ?, ?)", drive.name, drive.source,
               to_string(drive.kind), drive.read_only, as_number(drive.generation), as_number(drive.size));
}

Status SqliteStore::write_blade(const State& state, const std::string& name) {
    if (Status cleared = run("DELETE FROM slots WHERE blade = ?", name); !cleared) {
        return cleared;
    }
    const auto found = state.blades.find(name);
    if (found == state.blades.end()) {
        return run("DELETE FROM blades WHERE name = ?", name);
    }
    const Blade& blade = found->second;
    for (const auto& [slot, kind] : blade.slots) {
        if (Status written = run("INSERT INTO slots VALUES(?, ?, ?)", name, slot, to_string(kind)); !written) {
            return written;
        }
    }
    return run("INSERT OR REPLACE INTO blades VALUES(?, ?, ?)", blade.name, blade.session, blade.boot_id);
}

Status SqliteStore::write_lease(const State& state, LeaseId id) {
    const auto found = state.leases.find(id);
    if (found == state.leases.end() || is_gone(found->second)) {
        return run("DELETE FROM leases WHERE id = ?", as_number(id));
    }
    const Lease& lease = found->second;
    return run("INSERT OR REPLACE INTO leases VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", as_number(lease.id),
               lease.drive, lease.blade, to_string(lease.mode), lease.slot, to_string(lease.state),
               as_number(lease.epoch), lease.order, lease.wanted, lease.seen_loaded, to_string(lease.ending),
               as_number(lease.successor), as_number(lease.taker), lease.notice, lease.outcome);
}

Status SqliteStore::commit(const State& state, const Changes& changes) {
    return database_.transaction([&]() -> Status {
        Status written = success();
        const auto then = [&written](auto&& write) {
            if (written) {
                written = write();
            }
        };
        for (const std::string& name : changes.drives) {
            then([&] { return write_drive(state, name); });
        }
        for (const std::string& name : changes.blades) {
            then([&] { return write_blade(state, name); });
        }
        for (const std::string& drive : changes.epochs) {
            then([&] {
                return run("INSERT OR REPLACE INTO epochs VALUES(?, ?)", drive, as_number(state.epochs.at(drive)));
            });
        }
        for (const LeaseId id : changes.leases) {
            then([&] { return write_lease(state, id); });
        }
        if (!changes.leases.empty()) {
            then([&] { return write_number("last_lease", as_number(state.last_lease)); });
        }
        if (changes.term) {
            then([&] { return write_number("term", as_number(state.term)); });
        }
        return written;
    });
}

}  // namespace drivebay::arbiter
