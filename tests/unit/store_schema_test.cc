// Stores of other versions of drivebay, and of no version at all.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>

#include "arbiter/store/schema.h"
#include "arbiter/store/sqlite_store.h"
#include "lib/store/sqlite.h"
#include "tests/unit/file_bytes.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;

namespace {

// As the first released version made it, with rows of its own.
constexpr const char* schema1 = R"(
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
    (11, 'scratch', 'blade01', 'write', 1, 'revoking', 9, 6, 1, 1, 'taken', 0, 12, 'a notice', ''),
    (12, 'scratch', 'blade02', 'write', 0, 'waiting', 0, 7, 1, 0, 'none', 0, 0, '', 'an outcome');
COMMIT;
)";

struct OldStore {
    OldStore() {
        auto database = store::Database::open(path);
        BOOST_REQUIRE(database.ok());
        BOOST_REQUIRE(database->execute(schema1).ok());
    }
    TemporaryFolder folder;
    std::string path = folder.path() + "/arbiter.db";
};

void check_rows(const State& state) {
    BOOST_TEST(state.term == 7u);
    BOOST_TEST(state.last_lease == 12u);
    BOOST_REQUIRE_EQUAL(state.drives.size(), 2u);
    BOOST_TEST(state.drives.at("install").generation == 3u);
    BOOST_TEST(state.drives.at("scratch").source == "/dev/vg0/s");
    BOOST_REQUIRE_EQUAL(state.blades.size(), 2u);
    BOOST_TEST(state.blades.at("blade02").session == "s2");
    BOOST_TEST(state.blades.at("blade01").slots.size() == 2u);
    BOOST_TEST(state.epochs.at("long-gone") == 77u);
    BOOST_TEST(state.epochs.at("scratch") == 9u);
    BOOST_REQUIRE_EQUAL(state.leases.size(), 3u);
    BOOST_TEST((state.leases.at(11).state == LeaseState::revoking));
    BOOST_TEST((state.leases.at(11).ending == Ending::taken));
    BOOST_TEST(state.leases.at(11).taker == 12u);
    BOOST_TEST(state.leases.at(11).notice == "a notice");
    BOOST_TEST(state.leases.at(12).outcome == "an outcome");
    BOOST_TEST(state.leases.at(12).order == 7);
}

std::int64_t number(const std::string& path, const std::string& sql) {
    auto database = store::Database::open(path);
    BOOST_REQUIRE(database.ok());
    auto rows = database->prepare(sql);
    BOOST_REQUIRE_MESSAGE(rows.ok(), sql);
    BOOST_REQUIRE(rows->step().ok());
    return rows->number(0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(store_schema)

BOOST_FIXTURE_TEST_CASE(an_upgrade_loses_what_was_stored, OldStore) {
    {
        auto store = SqliteStore::open(path);
        BOOST_REQUIRE(store.ok());
        const auto state = (*store)->load();
        BOOST_REQUIRE(state.ok());
        check_rows(*state);
        Changes changes;
        changes.leases = {5, 11, 12};
        BOOST_TEST((*store)->commit(*state, changes).ok());
        check_rows(*(*store)->load());
    }
    BOOST_TEST(number(path, "PRAGMA user_version") == newest_schema);
    BOOST_TEST(number(path, "SELECT sum(wish = 0) FROM leases") == 3);
    BOOST_TEST(number(path, "SELECT count(*) FROM requests") == 0);
    check_rows(*(*SqliteStore::open(path))->load());
}

BOOST_FIXTURE_TEST_CASE(an_upgrade_leaves_no_way_back, OldStore) {
    BOOST_REQUIRE(SqliteStore::open(path).ok());
    const std::string kept = path + ".schema1";
    BOOST_REQUIRE(std::filesystem::exists(kept));
    BOOST_TEST(!std::filesystem::exists(kept + ".new"));
    BOOST_TEST(number(kept, "PRAGMA user_version") == 1);
    std::filesystem::rename(kept, path);
    check_rows(*(*SqliteStore::open(path))->load());
}

BOOST_FIXTURE_TEST_CASE(an_upgrade_without_a_copy_goes_on, OldStore) {
    const FolderBytes before(folder.path());
    std::filesystem::create_directories(path + ".schema1/in-the-way");
    const auto store = SqliteStore::open(path);
    BOOST_REQUIRE(!store.ok());
    BOOST_TEST(store.error().message.find("no copy of it could be kept") != std::string::npos);
    std::filesystem::remove_all(path + ".schema1");
    BOOST_TEST(before.difference() == "");
}

BOOST_FIXTURE_TEST_CASE(an_old_store_that_cannot_be_is_changed, OldStore) {
    {
        auto database = store::Database::open(path);
        BOOST_REQUIRE(database->execute("UPDATE leases SET state = 'held', epoch = 8 WHERE id = 12").ok());
    }
    const FolderBytes before(folder.path());
    const auto store = SqliteStore::open(path);
    BOOST_REQUIRE(!store.ok());
    BOOST_TEST(store.error().code == EBADMSG);
    std::filesystem::remove(path + ".schema1");
    BOOST_TEST(before.difference() == "");
}

BOOST_AUTO_TEST_CASE(a_new_store_is_not_of_the_newest_schema) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/arbiter.db";
    BOOST_REQUIRE(SqliteStore::open(path).ok());
    BOOST_TEST(number(path, "PRAGMA user_version") == newest_schema);
    BOOST_TEST(!std::filesystem::exists(path + ".schema0"));
}

BOOST_AUTO_TEST_CASE(a_store_of_a_later_version_is_touched) {
    for (const bool killed : {false, true}) {
        const TemporaryFolder folder;
        const std::string path = folder.path() + "/arbiter.db";
        {
            auto later = store::Database::open(path);
            BOOST_REQUIRE(later.ok());
            BOOST_REQUIRE(later->execute("CREATE TABLE tomorrow(x); INSERT INTO tomorrow VALUES(1)").ok());
            BOOST_REQUIRE(later->set_schema_version(99).ok());
            if (killed) {
                FolderBytes(folder.path()).write_to(folder.path() + "/killed");
            }
        }
        const std::string there = killed ? folder.path() + "/killed" : folder.path();
        BOOST_TEST(std::filesystem::exists(there + "/arbiter.db-wal") == killed);
        const FolderBytes before(there);
        const auto store = SqliteStore::open(there + "/arbiter.db");
        BOOST_REQUIRE(!store.ok());
        BOOST_TEST(store.error().message.find("later drivebay") != std::string::npos);
        BOOST_TEST(before.difference() == "");
    }
}

BOOST_AUTO_TEST_CASE(another_programs_database_becomes_a_store) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/arbiter.db";
    {
        auto other = store::Database::open(path);
        BOOST_REQUIRE(other->execute("CREATE TABLE bookmarks(x)").ok());
    }
    const FolderBytes before(folder.path());
    const auto store = SqliteStore::open(path);
    BOOST_REQUIRE(!store.ok());
    BOOST_TEST(store.error().message.find("no store of drivebay") != std::string::npos);
    BOOST_TEST(before.difference() == "");
}

BOOST_AUTO_TEST_SUITE_END()
