// Damaged stores: each either opens with a state that the lease core could have had, or is refused with a sentence and
// left byte for byte as it was. --check-store says so without touching anything. STORE_DAMAGES=n tries more of them.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstdlib>
#include <random>

#include "arbiter/store/sqlite_store.h"
#include "arbiter/store/store_check.h"
#include "arbiter/store/stored_state_check.h"
#include "tests/unit/file_bytes.h"
#include "tests/unit/lease_world.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::World;

namespace {

Changes everything_of(const State& state) {
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
    return everything;
}

// A store with something in every table and more than one page in some.
struct FullStore : World {
    FullStore() {
        for (int i = 0; i < 40; ++i) {
            add_drive("drive" + std::to_string(i));
        }
        for (int i = 0; i < 8; ++i) {
            add_blade("blade" + std::to_string(i));
            present("drive1", "blade" + std::to_string(i));
            present("drive" + std::to_string(2 + i / 2), "blade" + std::to_string(i), Mode::write);
        }
        auto store = SqliteStore::open(path);
        BOOST_REQUIRE(store.ok());
        BOOST_REQUIRE((*store)->commit(state, everything_of(state)).ok());
        const FolderBytes running(folder.path());
        whole = bytes_of(path);
        log = bytes_of(path + "-wal");
        BOOST_REQUIRE(!log.empty());
        store->reset();
        settled = bytes_of(path);
    }

    // True: opened. A refusal must have left everything as it was.
    bool try_it(const std::string& database, const std::string& wal, const std::string& what) {
        const TemporaryFolder place;
        const std::string there = place.path() + "/arbiter.db";
        write_bytes(there, database);
        if (!wal.empty()) {
            write_bytes(there + "-wal", wal);
        }
        const FolderBytes before(place.path());
        const auto judged = check_store(there);
        BOOST_TEST_REQUIRE(before.difference() == "", "--check-store changed" << before.difference() << ": " << what);
        auto store = SqliteStore::open(there);
        if (!store) {
            BOOST_TEST_REQUIRE(before.difference() == "", "refused and changed" << before.difference() << ": " << what);
            BOOST_TEST_REQUIRE(store.error().message.find(there) != std::string::npos,
                               store.error().message << ": " << what);
            const bool agreed = judged.ok() ? !judged->findings.empty() : judged.error().code != EBUSY;
            BOOST_TEST_REQUIRE(agreed, "--check-store finds it good: " << what << ", " << store.error().message);
            return false;
        }
        const auto loaded = (*store)->load();
        BOOST_TEST_REQUIRE(loaded.ok(), what);
        const auto findings = check_stored_state(*loaded);
        BOOST_TEST_REQUIRE(findings.empty(), (findings.empty() ? "" : findings.front()) << ": " << what);
        return true;
    }

    TemporaryFolder folder;
    std::string path = folder.path() + "/arbiter.db";
    std::string whole;    // as it is while the arbiter runs …
    std::string log;      // … with its log
    std::string settled;  // after it ended
};

int count_from(const char* variable, int otherwise) {
    const char* const text = std::getenv(variable);
    return text ? std::atoi(text) : otherwise;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(store_damage)

BOOST_FIXTURE_TEST_CASE(a_cut_off_store_is_believed, FullStore) {
    BOOST_TEST(try_it(settled, "", "nothing is wrong"));
    BOOST_TEST(try_it(whole, log, "nothing is wrong with a killed arbiter's"));
    BOOST_TEST(!try_it("", log, "the database is empty, the log is not"));
    for (std::size_t size = 1; size < settled.size(); size += 1024) {
        // A part of the last page may hold nothing that counts.
        const bool opened = try_it(settled.substr(0, size), "", "cut at " + std::to_string(size));
        BOOST_TEST((!opened || size > settled.size() - 4096), "opened, cut at " << size);
        BOOST_TEST((size % 4096 != 1 || !try_it(settled.substr(0, size - 1), "", "cut") || size == 1), size);
    }
    for (std::size_t size = 0; size < log.size(); size += 4120 / 2) {
        (void)try_it(whole, log.substr(0, size), "log cut at " + std::to_string(size));
    }
}

BOOST_FIXTURE_TEST_CASE(a_garbage_page_is_believed, FullStore) {
    std::mt19937_64 random(1);
    for (std::size_t page = 0; page * 4096 < settled.size(); ++page) {
        std::string damaged = settled;
        for (std::size_t i = 0; i < 4096; ++i) {
            damaged[page * 4096 + i] = static_cast<char>(random());
        }
        BOOST_TEST(!try_it(damaged, "", "garbage in page " + std::to_string(page)));
        damaged.replace(page * 4096, 4096, std::string(4096, '\0'));
        BOOST_TEST(!try_it(damaged, "", "zeros in page " + std::to_string(page)));
    }
}

BOOST_FIXTURE_TEST_CASE(a_flipped_byte_makes_a_state_that_cannot_be, FullStore) {
    std::mt19937_64 random(2);
    const int tries = count_from("STORE_DAMAGES", 150);
    int refused = 0;
    for (int i = 0; i < tries; ++i) {
        const bool in_log = i % 3 == 0;
        std::string damaged = in_log ? log : settled;
        std::string what = in_log ? "log:" : "database:";
        for (std::size_t flips = 1 + random() % 3; flips > 0; --flips) {
            const std::size_t at = random() % damaged.size();
            damaged[at] = static_cast<char>(random() % 4 == 0 ? random() : damaged[at] ^ (1 << random() % 8));
            what += " " + std::to_string(at);
        }
        refused += in_log ? !try_it(whole, damaged, what) : !try_it(damaged, "", what);
    }
    BOOST_TEST_MESSAGE(refused << " of " << tries << " refused");
    BOOST_TEST(refused > 0);
}

BOOST_FIXTURE_TEST_CASE(a_state_that_cannot_be_is_found_good, FullStore) {
    BOOST_TEST(check_stored_state(state).empty());
    const auto finds = [this](const std::string& part, const std::function<void(State&)>& damage) {
        State damaged = state;
        damage(damaged);
        const auto findings = check_stored_state(damaged);
        BOOST_REQUIRE_MESSAGE(!findings.empty(), part);
        BOOST_TEST(findings.front().find(part) != std::string::npos, findings.front());
    };
    const auto of = [](State& damaged, const std::string& drive, LeaseState wanted) -> Lease& {
        for (auto& [id, lease] : damaged.leases) {
            if (lease.drive == drive && lease.state == wanted) {
                return lease;
            }
        }
        throw std::runtime_error("no such lease");
    };
    finds("cannot both be active", [&](State& damaged) {
        Lease& waiter = of(damaged, "drive2", LeaseState::waiting);
        waiter.state = LeaseState::held;
        waiter.epoch = ++damaged.epochs["drive2"];
    });
    finds("cannot both be active", [&](State& damaged) { of(damaged, "drive1", LeaseState::held).mode = Mode::write; });
    finds("the drive's last is", [&](State& damaged) { damaged.epochs["drive1"] = 1; });
    finds("not given yet", [&](State& damaged) { damaged.last_lease = damaged.leases.rbegin()->first - 1; });
    finds("waits beside another", [&](State& damaged) {
        Lease twin = of(damaged, "drive2", LeaseState::waiting);
        twin.id = ++damaged.last_lease;
        damaged.leases[twin.id] = twin;
    });
    finds("shares slot", [&](State& damaged) {
        Lease& one = of(damaged, "drive1", LeaseState::held);
        for (auto& [id, lease] : damaged.leases) {
            if (lease.blade == one.blade && lease.id != one.id && is_active(lease)) {
                one.slot = lease.slot;
            }
        }
    });
    finds("has no epoch", [&](State& damaged) { of(damaged, "drive1", LeaseState::held).epoch = 0; });
    finds("has the epoch", [&](State& damaged) {
        Lease& one = of(damaged, "drive1", LeaseState::held);
        for (auto& [id, lease] : damaged.leases) {
            if (lease.drive == one.drive && lease.id != one.id) {
                lease.epoch = one.epoch;
                break;
            }
        }
    });
    finds("the term is missing", [&](State& damaged) { damaged.term = 0; });
}

BOOST_FIXTURE_TEST_CASE(a_store_in_use_is_judged_from_its_moving_files, FullStore) {
    const auto store = SqliteStore::open(path);
    BOOST_REQUIRE(store.ok());
    const auto judged = check_store(path);
    BOOST_REQUIRE(!judged.ok());
    BOOST_TEST(judged.error().code == EBUSY);
    BOOST_TEST(judged.error().message.find("drivebay backup") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
