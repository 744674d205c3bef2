#include "arbiter/store/schema.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>

namespace drivebay::arbiter {
namespace {

// What makes schema n+1 of schema n. A step that was released is never changed again: a new store takes all of them.
constexpr std::array<const char*, newest_schema> steps = {
    R"(
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
)",
    // requests: what was asked under a request id, as a JSON array of lease ids; the lowest `entered` is the oldest.
    R"(
CREATE TABLE requests(id TEXT PRIMARY KEY, entered INTEGER NOT NULL, leases TEXT NOT NULL) WITHOUT ROWID;
ALTER TABLE leases ADD COLUMN wish INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
)",
};

// Nothing that a user made is in the file.
Result<bool> is_empty(store::Database& database) {
    auto rows = database.prepare("SELECT count(*) FROM sqlite_schema");
    if (!rows) {
        return rows.error();
    }
    const auto row = rows->step();
    if (!row) {
        return row.error();
    }
    return rows->number(0) == 0;
}

}  // namespace

Status bring_up_to_date(store::Database& database, const Upgrade& upgrade) {
    const auto version = database.schema_version();
    if (!version) {
        return version.error();
    }
    if (*version > newest_schema) {
        return Error{EPROTO,
                     fmt::format("the store {} was written by a later drivebay (its schema is {}, this program knows "
                                 "{}); it was left as it is: install that version again",
                                 database.path(), *version, newest_schema)};
    }
    const auto empty = is_empty(database);
    if (!empty) {
        return empty.error();
    }
    if (*version < 0 || (*version == 0) != *empty) {
        return Error{EBADMSG, fmt::format("{} is no store of drivebay's arbiter (schema {}, {}); it was left as it is",
                                          database.path(), *version, *empty ? "no tables" : "with tables")};
    }
    if (*version == newest_schema) {
        return upgrade.judge();
    }
    if (*version > 0 && upgrade.before) {
        if (Status agreed = upgrade.before(*version); !agreed) {
            return agreed;
        }
    }
    return database.transaction([&]() -> Status {
        for (std::int64_t step = *version; step < newest_schema; ++step) {
            if (Status made = database.execute(steps.at(static_cast<std::size_t>(step))); !made) {
                return made;
            }
        }
        if (Status numbered = database.set_schema_version(newest_schema); !numbered) {
            return numbered;
        }
        return upgrade.judge();
    });
}

}  // namespace drivebay::arbiter
