// Stores of other versions of drivebay, and of no version at all.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>

#include "arbiter/store/schema.h"
#include "arbiter/store/sqlite_store.h"
#include "lib/store/sqlite.h"
#include "tests/unit/file_bytes.h"
#include "tests/unit/schema1_store.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;

namespace {

struct OldStore {
    OldStore() { make_schema1_store(path); }
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
