#include <array>
#include <memory>
#include <string_view>

#include "arbiter/core/lease_core.h"
#include "arbiter/store/schema.h"
#include "arbiter/store/stored_rows.h"
#include "arbiter/store/stored_state_check.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/stored_findings.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::fuzz {

namespace {

using namespace arbiter;

struct Table {
    const char* name;
    int columns;
};
constexpr std::array<Table, 7> tables = {
    {{"numbers", 2}, {"drives", 6}, {"blades", 3}, {"slots", 3}, {"epochs", 2}, {"leases", 17}, {"requests", 3}}};

// What a good row has; a fuzzer would be long in finding these.
constexpr std::array<std::string_view, 32> words = {
    "a",     "b",        "x",       "y",      "disk",    "cdrom",    "read",   "write",   "waiting", "granted",  "held",
    "revoking", "fencing", "none",    "withdrawn", "taken",   "changed",  "refreshed", "ejected", "dropped", "expired", "rebooted",
    "unadmitted", "left",  "refused", "closed", "term",    "last_lease", "@local", "[1,2]",   "",        "/a"};

store::Database make_database(const TemporaryFolder& folder) {
    auto database = store::Database::open(folder.path() + "/store.db", [](store::Database& opened) {
        return bring_up_to_date(opened, {nullptr, [] { return success(); }});
    });
    require(database.ok(), "no store can be made");
    return std::move(*database);
}

// Rows of any table with anything in them. One that SQLite itself refuses is left out.
void insert_rows(store::Database& database, Reader& input) {
    for (int row = input.number<std::uint8_t>() % 24; row > 0 && !input.empty(); --row) {
        const Table& table = tables.at(input.number<std::uint8_t>() % tables.size());
        std::string sql = "INSERT OR IGNORE INTO " + std::string(table.name) + " VALUES(?";
        for (int column = 1; column < table.columns; ++column) {
            sql += ",?";
        }
        auto statement = database.prepare(sql + ")");
        require(statement.ok(), "a table is not as the fuzzer knows it");
        for (int column = 1; column <= table.columns; ++column) {
            const auto kind = input.number<std::uint8_t>();
            if (kind < 128) {
                statement->bind(column, words.at(kind % words.size()));
            } else if (kind < 224) {
                statement->bind(column, std::int64_t{kind} - 128);
            } else if (kind < 240) {
                statement->bind(column, input.number<std::int64_t>());
            } else if (kind < 254) {
                statement->bind(column, input.text(kind - 240U));
            }
        }
        (void)statement->step();
    }
}

protocol::BladeObserved anything_observed(Reader& input) {
    protocol::BladeObserved observed;
    observed.version = input.number<std::uint8_t>();
    for (int slot = input.number<std::uint8_t>() % 3; slot > 0; --slot) {
        protocol::ObservedSlot one;
        one.slot = input.number<std::uint8_t>() % 4;
        one.state = static_cast<protocol::SlotState>(input.number<std::uint8_t>() % 5);
        one.drive = words.at(input.number<std::uint8_t>() % 4);
        one.epoch = input.number<std::uint8_t>();
        if (input.number<std::uint8_t>() % 2 == 0) {
            one.last = protocol::LastMedium{std::string(words.at(input.number<std::uint8_t>() % 4)), input.number<std::uint8_t>(),
                                            static_cast<protocol::Outcome>(input.number<std::uint8_t>() % 3), false, 0};
        }
        observed.slots.push_back(one);
    }
    return observed;
}

Happening anything(Reader& input) {
    const auto what = input.number<std::uint8_t>();
    const std::string drive(words.at(input.number<std::uint8_t>() % 4));
    const std::string blade(words.at(input.number<std::uint8_t>() % 4));
    switch (what % 12) {
        case 0: return RemoveDrive{drive};
        case 1: return RefreshDrive{drive};
        case 2: return RemoveBlade{blade};
        case 3: {
            Present present;
            present.drive = drive;
            present.blades = {blade};
            present.access = what & 16 ? Mode::write : Mode::read;
            present.policy = static_cast<Policy>(what / 32 % 4);
            return present;
        }
        case 4: return Withdraw{drive, {blade}, false, (what & 16) != 0, {}};
        case 5: return Revoke{input.number<std::uint8_t>()};
        case 6: {
            BladeArrived arrived;
            arrived.hello.blade = blade;
            arrived.hello.session = words.at(input.number<std::uint8_t>() % 4);
            arrived.hello.boot_id = words.at(input.number<std::uint8_t>() % 4);
            arrived.hello.observed = anything_observed(input);
            arrived.fresh_session = "fresh";
            return arrived;
        }
        case 7: return BladeReported{blade, anything_observed(input)};
        case 8: {
            DataPathArrived arrived;
            arrived.hello.boot_id = "boot";
            arrived.hello.floors[drive] = input.number<std::uint8_t>();
            return arrived;
        }
        case 9: {
            DataPathReported reported;
            reported.observed.version = input.number<std::uint8_t>();
            protocol::ObservedDrive one;
            one.name = drive;
            reported.observed.drives.push_back(one);
            reported.observed.fenced.push_back({drive, blade, input.number<std::uint8_t>(), (what & 16) != 0, ""});
            return reported;
        }
        case 10: return AddBlade{blade};
        default: return Tick{};
    }
}

// What is taken for a good state is one that the lease core can go on from, and stays one.
void go_on(State state, Reader& input) {
    ++state.term;
    if (!check_stored_state(state).empty()) {
        return;  // the last of all terms: nothing goes on from there
    }
    Instant now{std::chrono::hours(1)};
    const std::map<std::string, Epoch> floors = state.epochs;
    step(state, {now, Started{}});
    for (int steps = 0; steps < 32 && !input.empty(); ++steps) {
        now += std::chrono::milliseconds(input.number<std::uint8_t>() * 50);
        step(state, {now, anything(input)});
        if (const auto findings = stored_findings(state); !findings.empty()) {
            throw std::logic_error("a step makes of a good state one that is none: " + findings.front());
        }
    }
    for (const auto& [drive, epoch] : floors) {
        require(state.epochs.contains(drive) && state.epochs[drive] >= epoch, "an epoch is forgotten");
    }
}

}  // namespace

void rows(Bytes bytes) {
    static const TemporaryFolder folder;
    static store::Database database = make_database(folder);
    Reader input(bytes);
    require(database.execute("BEGIN").ok(), "no transaction");
    insert_rows(database, input);
    Result<State> state = read_rows(database);
    require(database.execute("ROLLBACK").ok(), "no end of a transaction");
    if (!state) {
        require(!state.error().message.empty(), "rows are refused without a sentence");
    } else if (check_stored_state(*state).empty()) {
        go_on(std::move(*state), input);
    }
}

}  // namespace drivebay::fuzz
