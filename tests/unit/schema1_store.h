// A store as the first version of drivebay wrote it.
#pragma once

#include <stdexcept>
#include <string>

#include "lib/store/sqlite.h"

namespace drivebay::arbiter {

inline constexpr const char* schema1 = R"(
PRAGMA journal_mode=WAL;
BEGIN;
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
PRAGMA user_version=1;
INSERT INTO numbers VALUES('term', 7), ('last_lease', 12);
INSERT INTO drives VALUES('install', '/srv/x.iso', 'cdrom', 1, 3, 1048576), ('scratch', '/dev/vg0/s', 'disk', 0, 1, 4096);
INSERT INTO blades VALUES('blade01', 's1', 'b1'), ('blade02', 's2', 'b2');
INSERT INTO slots VALUES('blade01', 0, 'cdrom'), ('blade01', 1, 'disk'), ('blade02', 0, 'disk');
INSERT INTO epochs VALUES('install', 4), ('scratch', 9), ('long-gone', 77);
INSERT INTO leases VALUES
    (5, 'install', 'blade01', 'read', 0, 'held', 4, 5, 1, 1, 'none', 0, 0, '', ''),
    (11, 'scratch', 'blade01', 'write', 1, 'revoking', 9, 6, 0, 1, 'taken', 0, 12, 'a notice', ''),
    (12, 'scratch', 'blade02', 'write', 0, 'waiting', 0, 7, 1, 0, 'none', 0, 0, '', 'an outcome');
COMMIT;
)";

inline void make_schema1_store(const std::string& path) {
    auto database = store::Database::open(path);
    if (!database || !database->execute(schema1)) {
        throw std::runtime_error("no store of schema 1 could be made at " + path);
    }
}

}  // namespace drivebay::arbiter
