#include "fusefs/engine/admission_table.h"

#include <cerrno>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::int64_t schema = 2;

constexpr const char* tables = R"sql(
    CREATE TABLE term (only INTEGER PRIMARY KEY CHECK (only = 1), term INTEGER NOT NULL) STRICT;
    CREATE TABLE drives (name TEXT PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, read_only INTEGER NOT NULL,
                         generation INTEGER NOT NULL, listed INTEGER NOT NULL,
                         writes_marked INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE floors (drive TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
    CREATE TABLE admissions (drive TEXT NOT NULL, epoch INTEGER NOT NULL, blade TEXT NOT NULL, mode TEXT NOT NULL,
                             revoking INTEGER NOT NULL, PRIMARY KEY (drive, epoch)) STRICT;
    CREATE TABLE fenced (drive TEXT NOT NULL, blade TEXT NOT NULL, epoch INTEGER NOT NULL, flushed INTEGER NOT NULL,
                         error TEXT NOT NULL, PRIMARY KEY (drive, blade, epoch)) STRICT;
)sql";

constexpr const char* from_schema_1 = "ALTER TABLE drives ADD COLUMN writes_marked INTEGER NOT NULL DEFAULT 0";

std::int64_t to_number(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t to_count(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// Runs `row` for each row of a query.
template <class Row>
Status each_row(store::Database& database, const std::string& sql, Row row) {
    Result<store::Statement> statement = database.prepare(sql);
    if (!statement) {
        return statement.error();
    }
    while (true) {
        const Result<bool> more = statement->step();
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return success();
        }
        if (Status taken = row(*statement); !taken) {
            return taken;
        }
    }
}

template <class Bind>
Status write_row(store::Database& database, const std::string& sql, Bind bind) {
    Result<store::Statement> statement = database.prepare(sql);
    if (!statement) {
        return statement.error();
    }
    bind(*statement);
    const Result<bool> done = statement->step();
    return done ? success() : Status(done.error());
}

// Brings one table of the file from `before` to `after`, touching the rows that differ only.
template <class Map, class Remove, class Insert>
Status write_changes(const Map& before, const Map& after, Remove remove, Insert insert) {
    for (const auto& [key, value] : before) {
        if (!after.contains(key)) {
            if (Status removed = remove(key); !removed) {
                return removed;
            }
        }
    }
    for (const auto& [key, value] : after) {
        const auto old = before.find(key);
        if (old == before.end() || !(old->second == value)) {
            if (Status inserted = insert(key, value); !inserted) {
                return inserted;
            }
        }
    }
    return success();
}

Error damaged(const std::string& what) {
    return Error{EBADMSG, "the table of admissions holds " + what + "; it is not of this program or damaged"};
}

Result<TableState> load(store::Database& database) {
    TableState state;
    Status read = each_row(database, "SELECT term FROM term", [&](store::Statement& row) {
        state.term = to_count(row.number(0));
        return success();
    });
    if (read) {
        read = each_row(database, "SELECT name, source, kind, read_only, generation, listed, writes_marked FROM drives",
                        [&](store::Statement& row) -> Status {
                            const auto kind = parse_drive_kind(row.text(2));
                            if (!kind) {
                                return damaged("a drive of kind " + log::quoted(row.text(2)));
                            }
                            state.drives[row.text(0)] = {
                                {row.text(0), row.text(1), *kind, row.number(3) != 0, to_count(row.number(4))},
                                row.number(5) != 0,
                                to_count(row.number(6))};
                            return success();
                        });
    }
    if (read) {
        read = each_row(database, "SELECT drive, epoch FROM floors", [&](store::Statement& row) {
            state.floors[row.text(0)] = to_count(row.number(1));
            return success();
        });
    }
    if (read) {
        read = each_row(database, "SELECT drive, epoch, blade, mode, revoking FROM admissions",
                        [&](store::Statement& row) -> Status {
                            const auto mode = parse_mode(row.text(3));
                            if (!mode) {
                                return damaged("an admission of mode " + log::quoted(row.text(3)));
                            }
                            const Admission admission{row.text(0), row.text(2), *mode, to_count(row.number(1))};
                            state.admissions[{admission.drive, admission.epoch}] = {admission, row.number(4) != 0};
                            return success();
                        });
    }
    if (read) {
        read = each_row(database, "SELECT drive, blade, epoch, flushed, error FROM fenced", [&](store::Statement& row) {
            const protocol::Fenced fenced{row.text(0), row.text(1), to_count(row.number(2)), row.number(3) != 0,
                                          row.text(4)};
            state.fenced[{fenced.drive, fenced.blade, fenced.epoch}] = fenced;
            return success();
        });
    }
    if (!read) {
        return read.error();
    }
    return state;
}

Status write_drives(store::Database& database, const TableState& before, const TableState& after) {
    return write_changes(
        before.drives, after.drives,
        [&](const std::string& name) {
            return write_row(database, "DELETE FROM drives WHERE name = ?",
                             [&](store::Statement& row) { row.bind(1, name); });
        },
        [&](const std::string& name, const DriveRow& drive) {
            return write_row(database, "INSERT OR REPLACE INTO drives VALUES (?, ?, ?, ?, ?, ?, ?)",
                             [&](store::Statement& row) {
                                 row.bind(1, name).bind(2, drive.drive.source).bind(3, to_string(drive.drive.kind));
                                 row.bind(4, std::int64_t{drive.drive.read_only});
                                 row.bind(5, to_number(drive.drive.generation)).bind(6, std::int64_t{drive.listed});
                                 row.bind(7, to_number(drive.writes_marked));
                             });
        });
}

Status write_floors(store::Database& database, const TableState& before, const TableState& after) {
    return write_changes(
        before.floors, after.floors,
        [&](const std::string& drive) {
            return write_row(database, "DELETE FROM floors WHERE drive = ?",
                             [&](store::Statement& row) { row.bind(1, drive); });
        },
        [&](const std::string& drive, Epoch epoch) {
            return write_row(database, "INSERT OR REPLACE INTO floors VALUES (?, ?)",
                             [&](store::Statement& row) { row.bind(1, drive).bind(2, to_number(epoch)); });
        });
}

Status write_admissions(store::Database& database, const TableState& before, const TableState& after) {
    return write_changes(
        before.admissions, after.admissions,
        [&](const std::pair<std::string, Epoch>& key) {
            return write_row(database, "DELETE FROM admissions WHERE drive = ? AND epoch = ?",
                             [&](store::Statement& row) { row.bind(1, key.first).bind(2, to_number(key.second)); });
        },
        [&](const std::pair<std::string, Epoch>&, const AdmissionRow& entry) {
            return write_row(database, "INSERT OR REPLACE INTO admissions VALUES (?, ?, ?, ?, ?)",
                             [&](store::Statement& row) {
                                 const Admission& admission = entry.admission;
                                 row.bind(1, admission.drive).bind(2, to_number(admission.epoch));
                                 row.bind(3, admission.blade).bind(4, to_string(admission.mode));
                                 row.bind(5, std::int64_t{entry.revoking});
                             });
        });
}

Status write_fenced(store::Database& database, const TableState& before, const TableState& after) {
    return write_changes(
        before.fenced, after.fenced,
        [&](const std::tuple<std::string, std::string, Epoch>& key) {
            return write_row(database, "DELETE FROM fenced WHERE drive = ? AND blade = ? AND epoch = ?",
                             [&](store::Statement& row) {
                                 row.bind(1, std::get<0>(key)).bind(2, std::get<1>(key));
                                 row.bind(3, to_number(std::get<2>(key)));
                             });
        },
        [&](const std::tuple<std::string, std::string, Epoch>&, const protocol::Fenced& fenced) {
            return write_row(database, "INSERT OR REPLACE INTO fenced VALUES (?, ?, ?, ?, ?)",
                             [&](store::Statement& row) {
                                 row.bind(1, fenced.drive).bind(2, fenced.blade).bind(3, to_number(fenced.epoch));
                                 row.bind(4, std::int64_t{fenced.flushed}).bind(5, fenced.error);
                             });
        });
}

}  // namespace

Result<AdmissionTable> AdmissionTable::open(const std::string& path, const LocalEpochs& still_open) {
    Result<store::Database> database = store::Database::open(path);
    if (!database) {
        return database.error();
    }
    const Result<std::int64_t> version = database->schema_version();
    if (!version) {
        return version.error();
    }
    if (*version == 0 || *version == 1) {
        const Status made = database->transaction([&]() -> Status {
            Status outcome = database->execute(*version == 0 ? tables : from_schema_1);
            return outcome ? database->set_schema_version(schema) : outcome;
        });
        if (!made) {
            return made.error();
        }
    } else if (*version != schema) {
        return Error{EBADMSG, "the table of admissions " + log::quoted(path) + " has version " +
                                  std::to_string(*version) + ", this program knows " + std::to_string(schema) +
                                  ": it was written by another drivebayfs; install that one"};
    }
    Result<TableState> state = load(*database);
    if (!state) {
        return state.error();
    }
    AdmissionTable table(std::move(*database), std::move(*state));
    TableState next = table.state_;
    revoke_local(next, still_open);
    if (Status committed = table.commit(std::move(next)); !committed) {
        return committed.error();
    }
    return table;
}

Status AdmissionTable::commit(TableState next) {
    if (next == state_) {
        return success();
    }
    Status committed = database_.transaction([&]() -> Status {
        if (next.term != state_.term) {
            Status written = write_row(database_, "INSERT OR REPLACE INTO term VALUES (1, ?)",
                                       [&](store::Statement& row) { row.bind(1, to_number(next.term)); });
            if (!written) {
                return written;
            }
        }
        for (const auto write : {write_drives, write_floors, write_admissions, write_fenced}) {
            if (Status written = write(database_, state_, next); !written) {
                return written;
            }
        }
        return success();
    });
    if (committed) {
        state_ = std::move(next);
    }
    return committed;
}

}  // namespace drivebay
