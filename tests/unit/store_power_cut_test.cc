// Power cuts of the arbiter's store. The real store takes commits that the real lease core makes; every operation on
// its files is recorded. For every moment of that record, and for several ways in which a disk may have kept what was
// not synced, the store is opened again: it must hold the state of a commit that is no older than the last one that had
// returned. POWER_CUT_SEED=n takes another story, POWER_CUT_COMMITS and POWER_CUT_VARIANTS longer ones and more ways.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <functional>
#include <random>
#include <set>

#include "arbiter/store/sqlite_store.h"
#include "arbiter/store/stored_state_check.h"
#include "tests/unit/file_bytes.h"
#include "tests/unit/lease_world.h"
#include "tests/unit/lossy_disk.h"
#include "tests/unit/recording_vfs.h"
#include "tests/unit/schema1_store.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using namespace std::chrono_literals;

namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// All that the store has to keep, as one text.
std::string digest(const State& state) {
    std::string text = "term " + std::to_string(state.term) + " last " + std::to_string(state.last_lease);
    const auto add = [&text](auto&&... parts) { ((text += ' ', text += parts), ...); };
    const auto number = [](auto value) { return std::to_string(value); };
    for (const auto& [name, drive] : state.drives) {
        add("\ndrive", name, drive.source, to_string(drive.kind), number(drive.read_only), number(drive.generation),
            number(drive.size));
    }
    for (const auto& [name, blade] : state.blades) {
        add("\nblade", name, blade.session, blade.boot_id);
        for (const auto& [slot, kind] : blade.slots) {
            add(number(slot), to_string(kind));
        }
    }
    for (const auto& [drive, epoch] : state.epochs) {
        add("\nepoch", drive, number(epoch));
    }
    for (const auto& [id, lease] : state.leases) {
        if (!is_gone(lease)) {
            add("\nlease", number(id), lease.drive, lease.blade, to_string(lease.mode), number(lease.slot),
                to_string(lease.state), number(lease.epoch), number(lease.order), number(lease.wanted),
                number(lease.seen_loaded), to_string(lease.ending), number(lease.successor), number(lease.taker),
                lease.notice, lease.outcome);
        }
    }
    return text;
}

// A log that is folded into the database all the time: that is where the dangerous moments are.
int fold_early(sqlite3* connection, const char**, const sqlite3_api_routines*) {
    // SQLite sets its own measure at the end of opening; the first statement comes after that.
    return sqlite3_trace_v2(
        connection, SQLITE_TRACE_STMT,
        [](unsigned, void* context, void*, void*) {
            auto* const opened = static_cast<sqlite3*>(context);
            sqlite3_trace_v2(opened, 0, nullptr, nullptr);
            return sqlite3_wal_autocheckpoint(opened, 20);
        },
        connection);
}
using Extension = void (*)();
const auto fold_early_extension = reinterpret_cast<Extension>(fold_early);

struct Story {
    std::vector<DiskOp> ops;
    LossyDisk::Files begun_with;
    std::vector<std::string> digests;      // of the commits, the first one of what was there before
    std::vector<std::size_t> returned_at;  // how many operations there were when commit i had returned
};

// The lease core with its counterparts, an operator who wants all sorts of things, and restarts.
class Author : public models::World {
public:
    Author(std::uint64_t seed, std::string path, Story& story)
        : World(false), random_(seed), path_(std::move(path)), story_(story), vfs_(path_, &story.ops) {
        story_.digests.push_back(digest(State{}));
        story_.returned_at.push_back(0);
        state = {};
        begin_term();
        on_step = [this](const Actions& actions) { keep(actions.changes); };
        connect_data_path();
        for (const char* const name : {"d0", "d1", "d2"}) {
            add_drive(name);
        }
        for (const char* const name : {"b0", "b1", "b2"}) {
            add_blade(name, {DriveKind::disk, DriveKind::disk});
        }
    }

    void write(std::size_t commits) {
        while (story_.digests.size() < commits) {
            something_happens();
            now += 100ms;
            step(Tick{});
            settle();
        }
        store_.reset();
    }

private:
    void keep(const Changes& changes) {
        if (changes.empty()) {
            return;
        }
        // It may be on the disk before commit() returns, so it counts from now on.
        story_.digests.push_back(digest(state));
        BOOST_REQUIRE(store_->commit(state, changes).ok());
        story_.returned_at.push_back(story_.ops.size());
    }

    void begin_term() {
        store_.reset();
        auto store = SqliteStore::open(path_);
        BOOST_REQUIRE(store.ok());
        store_ = std::move(*store);
        state = *store_->load();
        ++state.term;
        Changes changes;
        changes.term = true;
        keep(changes);
    }

    void restart() {
        on_step = nullptr;
        begin_term();
        on_step = [this](const Actions& actions) { keep(actions.changes); };
        step(Started{});
        connect_data_path();
        for (auto& [name, blade] : blades) {
            connect(name);
        }
    }

    std::size_t below(std::size_t bound) { return random_() % bound; }
    std::string drive() { return "d" + std::to_string(below(3)); }
    std::string blade() { return "b" + std::to_string(below(3)); }

    void something_happens() {
        switch (below(16)) {
            case 0: withdraw(drive(), blade(), below(3) == 0); break;
            case 1: step(RefreshDrive{drive()}); break;
            case 2: restart(); break;
            case 3: pass(2s); break;
            case 4:
                step(AddDrive{[] {
                    Drive extra;
                    extra.name = "extra";
                    extra.source = std::string(3000, 'x');
                    return extra;
                }()});
                break;
            case 5: step(RemoveDrive{"extra"}); break;
            case 6:
            case 7:
            case 8: blades.at(blade()).host_ejects(static_cast<int>(below(2))); break;
            default: present(drive(), blade(), below(2) == 0 ? Mode::read : Mode::write, static_cast<Policy>(below(4)));
        }
    }

    std::mt19937_64 random_;
    std::string path_;
    Story& story_;
    RecordingVfs vfs_;
    std::unique_ptr<SqliteStore> store_;
};

// Cuts the power at every moment of a story.
class PowerCuts {
public:
    PowerCuts(const Story& story, std::uint64_t seed, std::size_t ways, const char* lying_file = nullptr)
        : story_(story),
          random_(seed),
          ways_(ways),
          disk_(story.begun_with, lying_file),
          vfs_(folder_.path() + "/arbiter.db", nullptr) {}

    // The first thing that was lost, empty where nothing ever was.
    std::string run() {
        std::string lost = cut_here(0);
        for (std::size_t i = 0; i < story_.ops.size() && lost.empty(); ++i) {
            disk_.apply(story_.ops[i]);
            lost = cut_here(i + 1);
        }
        return lost;
    }

    std::size_t moments = 0;
    std::size_t variants = 0;
    std::size_t opened = 0;

private:
    std::string cut_here(std::size_t done) {
        ++moments;
        while (returned_ + 1 < story_.returned_at.size() && story_.returned_at[returned_ + 1] <= done) {
            ++returned_;
        }
        std::string lost = judge(disk_.with_everything(), done, "everything");
        if (lost.empty()) {
            lost = judge(disk_.with_nothing(), done, "nothing");
        }
        for (std::size_t i = 0; i < ways_ && lost.empty() && disk_.has_pending(); ++i) {
            lost = judge(disk_.with_some(random_), done, "some");
        }
        return lost;
    }

    std::string judge(const LossyDisk::Files& files, std::size_t done, const char* kept) {
        ++variants;
        const std::string found = look(files);
        // The commit that was under way may be there or not.
        for (std::size_t i = returned_; i <= returned_ + 1 && i < story_.digests.size(); ++i) {
            if (story_.digests[i] == found) {
                return "";
            }
        }
        return "after " + std::to_string(done) + " operations, of what was not synced " + kept + " kept, commit " +
               std::to_string(returned_) + " had returned, and there is: " + found;
    }

    // The digest of what a store with these files holds, or why it does not open. The same files are opened once.
    std::string look(const LossyDisk::Files& files) {
        std::string key;
        for (const auto& [suffix, bytes] : files) {
            key += suffix + ":" + std::to_string(bytes.size()) + ":" + std::to_string(std::hash<std::string>()(bytes)) +
                   ";";
        }
        const auto known = known_.find(key);
        if (known != known_.end()) {
            return known->second;
        }
        ++opened;
        const std::string path = folder_.path() + "/arbiter.db";
        for (const char* const suffix : {"", "-wal", "-journal"}) {
            const auto file = files.find(suffix);
            if (file == files.end()) {
                std::filesystem::remove(path + suffix);
            } else {
                write_bytes(path + suffix, file->second);
            }
        }
        return known_[key] = read(path);
    }

    static std::string read(const std::string& path) {
        const auto store = SqliteStore::open(path);
        if (!store) {
            return store.error().message;
        }
        const auto state = (*store)->load();
        if (!state) {
            return state.error().message;
        }
        const auto findings = check_stored_state(*state);
        return findings.empty() ? digest(*state) : findings.front();
    }

    const Story& story_;
    std::mt19937_64 random_;
    std::size_t ways_;  // of keeping some of what was not synced
    LossyDisk disk_;
    TemporaryFolder folder_;
    RecordingVfs vfs_;
    std::size_t returned_ = 0;
    std::map<std::string, std::string> known_;
};

struct FoldedEarly {
    FoldedEarly() { sqlite3_auto_extension(fold_early_extension); }
    ~FoldedEarly() { sqlite3_cancel_auto_extension(fold_early_extension); }
    std::uint64_t seed = number_from("POWER_CUT_SEED", 1);
    TemporaryFolder folder;
    Story story;

    void write(std::size_t commits) {
        Author author(seed, folder.path() + "/arbiter.db", story);
        author.write(commits);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(store_power_cut)

BOOST_FIXTURE_TEST_CASE(a_power_cut_loses_a_commit_that_was_visible, FoldedEarly) {
    write(number_from("POWER_CUT_COMMITS", 250));
    PowerCuts cuts(story, seed, number_from("POWER_CUT_VARIANTS", 2));
    const std::string lost = cuts.run();
    BOOST_TEST(lost == "", "POWER_CUT_SEED=" << seed << ": " << lost);
    const std::set<std::string> states(story.digests.begin(), story.digests.end());
    BOOST_TEST_MESSAGE(story.digests.size()
                       << " commits, " << states.size() << " states, " << cuts.moments << " moments, " << cuts.variants
                       << " variants, " << cuts.opened << " of them different");
    BOOST_TEST(states.size() > 100u);
    BOOST_TEST(cuts.opened > 1000u);
}

BOOST_FIXTURE_TEST_CASE(a_power_cut_during_an_upgrade_loses_the_store, FoldedEarly) {
    const std::string path = folder.path() + "/arbiter.db";
    make_schema1_store(path);
    story.begun_with[""] = bytes_of(path);
    {
        const RecordingVfs vfs(path, &story.ops);
        auto store = SqliteStore::open(path);
        BOOST_REQUIRE(store.ok());
        story.digests.push_back(digest(*(*store)->load()));
        story.returned_at.push_back(0);
    }
    BOOST_TEST(story.digests.front().find("long-gone") != std::string::npos);
    PowerCuts cuts(story, seed, 20);
    BOOST_TEST(cuts.run() == "");
    BOOST_TEST_MESSAGE(cuts.moments << " moments, " << cuts.opened << " different variants");
    BOOST_TEST(cuts.opened > 10u);
}

BOOST_FIXTURE_TEST_CASE(a_log_that_is_not_synced_is_not_noticed, FoldedEarly) {
    write(40);
    BOOST_TEST(PowerCuts(story, seed, 0, "-wal").run() != "");
}

BOOST_FIXTURE_TEST_CASE(a_database_that_is_not_synced_before_its_log_begins_anew_is_not_noticed, FoldedEarly) {
    write(120);
    BOOST_TEST(PowerCuts(story, seed, 0, "").run() != "");
}

BOOST_AUTO_TEST_SUITE_END()
