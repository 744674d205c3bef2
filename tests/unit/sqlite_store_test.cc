// The arbiter's store: what was committed is there after a reopening, and nothing else.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "arbiter/store/sqlite_store.h"
#include "lib/store/sqlite.h"
#include "tests/unit/lease_world.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::World;

namespace {

// A world whose every step is committed, as the daemon does it.
struct StoredWorld : World {
    StoredWorld() : folder(), path(folder.path() + "/arbiter.db"), store(std::move(*SqliteStore::open(path))) {
        Changes everything;
        everything.term = true;
        BOOST_REQUIRE(store->commit(state, everything).ok());
    }

    void keep(Happening what) {
        const Actions actions = step(std::move(what));
        BOOST_REQUIRE(store->commit(state, actions.changes).ok());
    }

    // For helpers that make many steps: everything that there is.
    void keep_all() {
        Changes everything;
        everything.term = true;
        for (const auto& [name, drive] : state.drives) {
            everything.drives.insert(name);
        }
        for (const auto& [name, blade] : state.blades) {
            everything.blades.insert(name);
        }
        for (const auto& [name, epoch] : state.epochs) {
            everything.epochs.insert(name);
        }
        for (const auto& [id, lease] : state.leases) {
            everything.leases.insert(id);
        }
        BOOST_REQUIRE(store->commit(state, everything).ok());
    }

    State reopened() {
        store.reset();
        auto opened = SqliteStore::open(path);
        BOOST_REQUIRE(opened.ok());
        store = std::move(*opened);
        auto loaded = store->load();
        BOOST_REQUIRE(loaded.ok());
        return *loaded;
    }

    TemporaryFolder folder;
    std::string path;
    std::unique_ptr<SqliteStore> store;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sqlite_store)

BOOST_FIXTURE_TEST_CASE(a_restart_forgets_drives_blades_and_leases, StoredWorld) {
    add_drive("install", DriveKind::cdrom);
    add_drive("scratch");
    add_blade("a");
    add_blade("b");
    present("scratch", "a", Mode::write);
    present("scratch", "b", Mode::write);
    present("install", "b");
    data_path.stuck = true;
    withdraw("install", "b", true);
    keep_all();
    const State read = reopened();
    BOOST_TEST(read.term == state.term);
    BOOST_TEST(read.last_lease == state.last_lease);
    BOOST_TEST(read.epochs == state.epochs);
    BOOST_REQUIRE_EQUAL(read.drives.size(), 2u);
    BOOST_TEST((read.drives.at("install").kind == DriveKind::cdrom));
    BOOST_TEST(read.drives.at("install").read_only);
    BOOST_TEST(read.drives.at("scratch").source == "/scratch");
    BOOST_TEST(read.drives.at("scratch").size == state.drives.at("scratch").size);
    BOOST_TEST(read.blades.at("a").session == state.blades.at("a").session);
    BOOST_TEST(read.blades.at("a").boot_id == "boot");
    BOOST_TEST((read.blades.at("a").slots == state.blades.at("a").slots));
    BOOST_REQUIRE_EQUAL(read.leases.size(), state.leases.size());
    for (const auto& [id, lease] : state.leases) {
        const Lease& stored = read.leases.at(id);
        BOOST_TEST(stored.drive == lease.drive);
        BOOST_TEST(stored.blade == lease.blade);
        BOOST_TEST((stored.mode == lease.mode));
        BOOST_TEST(stored.slot == lease.slot);
        BOOST_TEST((stored.state == lease.state));
        BOOST_TEST(stored.epoch == lease.epoch);
        BOOST_TEST(stored.order == lease.order);
        BOOST_TEST(stored.wanted == lease.wanted);
        BOOST_TEST(stored.seen_loaded == lease.seen_loaded);
        BOOST_TEST((stored.ending == lease.ending));
        BOOST_TEST(stored.successor == lease.successor);
        BOOST_TEST(stored.outcome == lease.outcome);
        BOOST_TEST(stored.wish == lease.wish);
        BOOST_TEST(stored.since_ms == lease.since_ms);
    }
}

BOOST_FIXTURE_TEST_CASE(a_change_of_a_step_is_not_among_its_changes, StoredWorld) {
    keep(AddBlade{"a"});
    Drive drive;
    drive.name = "d";
    drive.source = "/d";
    keep(AddDrive{drive});
    models::BladeModel blade("a", {DriveKind::disk});
    keep(BladeArrived{blade.hello(), "s"});
    Present request;
    request.drive = "d";
    request.blades = {"a"};
    request.access = Mode::write;
    request.request = "r";
    keep(request);
    BOOST_TEST((reopened().requests.at("r").leases == std::vector<LeaseId>{1}));
    data_path.apply(data_path_table(state));
    keep(DataPathReported{data_path.observed()});
    blade.apply(desired_state(state, "a"));
    keep(BladeReported{"a", blade.observed()});
    State read = reopened();
    BOOST_REQUIRE_EQUAL(read.leases.size(), 1u);
    BOOST_TEST((read.leases.begin()->second.state == LeaseState::held));
    BOOST_TEST(read.leases.begin()->second.seen_loaded);
    BOOST_TEST(read.epochs.at("d") == 1u);
    BOOST_TEST(read.blades.at("a").session == "s");
    blade.host_ejects(0);
    keep(BladeReported{"a", blade.observed()});
    BOOST_TEST((reopened().leases.begin()->second.state == LeaseState::fencing));
    data_path.apply(data_path_table(state));
    keep(DataPathReported{data_path.observed()});
    BOOST_TEST(reopened().leases.empty());
}

BOOST_FIXTURE_TEST_CASE(a_removed_drives_epochs_are_forgotten, StoredWorld) {
    Drive drive;
    drive.name = "d";
    keep(AddDrive{drive});
    state.epochs["d"] = 7;
    keep_all();
    keep(RemoveDrive{"d"});
    const State read = reopened();
    BOOST_TEST(read.drives.empty());
    BOOST_TEST(read.epochs.at("d") == 7u);
}

BOOST_FIXTURE_TEST_CASE(two_arbiters_share_a_store, StoredWorld) {
    const auto second = SqliteStore::open(path);
    BOOST_REQUIRE(!second.ok());
    BOOST_TEST(second.error().code == EBUSY);
}

BOOST_FIXTURE_TEST_CASE(a_copy_of_a_store_that_is_written_to_is_torn, StoredWorld) {
    for (int i = 0; i < 400; ++i) {
        Drive drive;
        drive.name = "large" + std::to_string(i);
        drive.source = std::string(6000, 'x');
        keep(AddDrive{drive});
    }
    auto copy = store->copy();
    BOOST_REQUIRE(copy.ok());
    std::string bytes;
    int steps = 0;
    for (bool last = false; !last; ++steps) {
        BOOST_REQUIRE_LT(steps, 1000);
        const auto piece = (*copy)->step();
        BOOST_REQUIRE(piece.ok());
        BOOST_TEST((piece->is_last || piece->bytes.size() % 3 == 0));
        bytes += piece->bytes;
        last = piece->is_last;
        if (bytes.empty()) {
            // Rows at both ends of the tables, long after a part of them was copied.
            keep(RefreshDrive{"large0"});
            keep(AddBlade{"blade" + std::to_string(steps)});
            keep(RemoveDrive{"large" + std::to_string(399 - steps)});
        }
    }
    BOOST_TEST(steps > 10);
    copy->reset();
    const std::string file = folder.path() + "/copy.db";
    std::ofstream(file, std::ios::binary) << bytes;
    auto restored = SqliteStore::open(file);
    BOOST_REQUIRE(restored.ok());
    const auto read = (*restored)->load();
    BOOST_REQUIRE(read.ok());
    BOOST_TEST(read->drives.size() == state.drives.size());
    BOOST_TEST(read->drives.at("large0").generation == state.drives.at("large0").generation);
    BOOST_TEST(read->blades.size() == state.blades.size());
    BOOST_TEST(!std::filesystem::exists(path + ".backup"));
}

BOOST_FIXTURE_TEST_CASE(a_copy_that_was_given_up_spoils_the_store, StoredWorld) {
    Drive drive;
    drive.name = "d";
    keep(AddDrive{drive});
    {
        auto copy = store->copy();
        BOOST_REQUIRE(copy.ok());
    }
    BOOST_TEST(!std::filesystem::exists(path + ".backup"));
    keep(AddBlade{"a"});
    // What a killed arbiter left
    std::ofstream(path + ".backup") << "unfinished";
    BOOST_TEST(reopened().blades.size() == 1u);
    BOOST_TEST(!std::filesystem::exists(path + ".backup"));
}

BOOST_AUTO_TEST_CASE(a_damaged_store_is_overwritten) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/arbiter.db";
    const std::string damage(8192, 'x');
    std::ofstream(path) << damage;
    const auto opened = SqliteStore::open(path);
    BOOST_REQUIRE(!opened.ok());
    BOOST_TEST(opened.error().code == EBADMSG);
    std::ifstream file(path);
    BOOST_TEST(std::string(std::istreambuf_iterator<char>(file), {}) == damage);
}

BOOST_AUTO_TEST_CASE(a_store_of_a_later_version_is_taken_for_ours) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/arbiter.db";
    {
        auto database = store::Database::open(path);
        BOOST_REQUIRE(database.ok());
        BOOST_REQUIRE(database->set_schema_version(99).ok());
    }
    const auto opened = SqliteStore::open(path);
    BOOST_REQUIRE(!opened.ok());
    BOOST_TEST(opened.error().message.find("later drivebay") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
