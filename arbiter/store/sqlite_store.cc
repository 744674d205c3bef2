#include "arbiter/store/sqlite_store.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <concepts>

#include "arbiter/store/schema.h"
#include "arbiter/store/sqlite_store_copy.h"
#include "arbiter/store/stored_rows.h"
#include "arbiter/store/stored_state_check.h"
#include "lib/base/log.h"
#include "lib/store/online_copy.h"

namespace drivebay::arbiter {
namespace {

std::int64_t as_number(std::uint64_t value) {
    return static_cast<std::int64_t>(value);
}

// The sentence of a refused store, and what to do about it here.
Error with_remedy(const Error& error, const std::string& path) {
    if (error.code != EBADMSG) {
        return error;
    }
    return {error.code,
            fmt::format("{}. `drivebay-arbiterd --check-store {}` tells all that is wrong with it; a file that "
                        "`drivebay backup` wrote is put in its place as drivebay(8) says. Without a backup, "
                        "move it aside with its -wal: an empty store goes on above the epochs that the data "
                        "path knows, and drives, blades and presentations are entered again",
                        error.message, path)};
}

// An upgrade that turns out to be a mistake can be gone back on.
Status keep_older(store::Database& database, std::int64_t schema) {
    const std::string& path = database.path();
    const std::string kept = fmt::format("{}.schema{}", path, schema);
    if (Status copied = store::keep_copy(database, kept); !copied) {
        return Error{copied.error().code,
                     fmt::format("the store {} is of an earlier drivebay and was left as it is, because no copy of it "
                                 "could be kept before bringing it up to date: {}",
                                 path, copied.error().message)};
    }
    log::notice("the store is of an earlier drivebay and is brought up to date",
                {{"store", path}, {"from_schema", schema}, {"to_schema", newest_schema}, {"copy", kept}});
    return success();
}

Result<State> read_and_judge(store::Database& database) {
    auto state = read_rows(database);
    if (!state) {
        return state.error();
    }
    const auto findings = check_stored_state(*state);
    if (!findings.empty()) {
        return Error{EBADMSG,
                     fmt::format("the store {} holds what cannot be: {}{}; it was left as it is", database.path(),
                                 findings.front(),
                                 findings.size() > 1 ? fmt::format(", and {} more", findings.size() - 1) : "")};
    }
    return state;
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
    auto database = store::Database::open(path, [](store::Database& opened) {
        const auto keep = [&opened](std::int64_t older) { return keep_older(opened, older); };
        const auto judge = [&opened] {
            const auto state = read_and_judge(opened);
            return state ? success() : Status(state.error());
        };
        return bring_up_to_date(opened, {keep, judge});
    });
    if (!database) {
        return with_remedy(database.error(), path);
    }
    remove_unfinished_copy(path);
    return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(*database)));
}

Result<State> SqliteStore::load() {
    auto state = read_and_judge(database_);
    return state ? std::move(state) : with_remedy(state.error(), database_.path());
}

Result<std::unique_ptr<StoreCopy>> SqliteStore::copy() {
    return begin_copy(database_);
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
    return run("INSERT OR REPLACE INTO leases VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               as_number(lease.id), lease.drive, lease.blade, to_string(lease.mode), lease.slot, to_string(lease.state),
               as_number(lease.epoch), lease.order, lease.wanted, lease.seen_loaded, to_string(lease.ending),
               as_number(lease.successor), as_number(lease.taker), lease.notice, lease.outcome, as_number(lease.wish),
               lease.since_ms);
}

Status SqliteStore::write_request(const State& state, const std::string& id) {
    const auto found = state.requests.find(id);
    if (found == state.requests.end()) {
        return run("DELETE FROM requests WHERE id = ?", id);
    }
    return run("INSERT OR REPLACE INTO requests VALUES(?, ?, ?)", id, as_number(found->second.entered),
               nlohmann::json(found->second.leases).dump());
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
        for (const std::string& id : changes.requests) {
            then([&] { return write_request(state, id); });
        }
        if (changes.term) {
            then([&] { return write_number("term", as_number(state.term)); });
        }
        return written;
    });
}

}  // namespace drivebay::arbiter
