// A thin owner of one SQLite connection: WAL, synchronous=FULL, locking_mode=EXCLUSIVE, so that a commit survives a power
// cut and a second process is refused. Exactly one connection a file: Debian's 3.40.1 has a WAL-reset bug with more.
// Not thread-safe: one thread owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace drivebay::store {

class Statement {
public:
    Statement() = default;
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&& other) noexcept;
    ~Statement();

    // Parameters count from 1, columns from 0.
    Statement& bind(int index, std::string_view text);
    Statement& bind(int index, std::int64_t number);
    // True: a row is there. False: done.
    Result<bool> step();
    std::string text(int column) const;
    std::int64_t number(int column) const;
    // Ready to be bound and stepped again.
    void reset();

private:
    friend class Database;
    sqlite3_stmt* statement_ = nullptr;
};

class Database {
public:
    Database() = default;
    Database(Database&& other) noexcept;
    Database& operator=(Database&& other) noexcept;
    ~Database();

    // EBUSY if another process has it, EBADMSG if it is damaged or no database, with a sentence that says what to do.
    static Result<Database> open(const std::string& path);

    Status execute(const std::string& sql);
    Result<Statement> prepare(const std::string& sql);
    Result<std::int64_t> schema_version();
    Status set_schema_version(std::int64_t version);

    // Runs `work` between BEGIN IMMEDIATE and COMMIT; rolls back and returns the error if it or the commit fails.
    template <class Work>
    Status transaction(Work&& work) {
        if (Status begun = execute("BEGIN IMMEDIATE"); !begun) {
            return begun;
        }
        Status outcome = work();
        if (outcome) {
            outcome = execute("COMMIT");
        }
        if (!outcome) {
            (void)execute("ROLLBACK");
        }
        return outcome;
    }

private:
    sqlite3* connection_ = nullptr;
    std::string path_;
};

}  // namespace drivebay::store
