// A thin owner of one SQLite connection: WAL, synchronous=FULL, locking_mode=EXCLUSIVE, so that a commit survives a power
// cut and a second process is refused. Exactly one connection a file: Debian's 3.40.1 has a WAL-reset bug with more.
// Not thread-safe: one thread owns it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

    // Makes the database where there is none. EBUSY if another process has it, EBADMSG if it is damaged or no database,
    // with a sentence that says what to do. `before_use` runs when the file is locked and was found whole, and before
    // anything else is written; its error is open()'s. After any error the database and its log are, byte for byte, what
    // they were, unless `before_use` itself committed something.
    static Result<Database> open(const std::string& path, const std::function<Status(Database&)>& before_use = nullptr);

    // What SQLite's integrity check finds wrong, a sentence each. Only for a file that nobody else has open; what stands
    // in its log counts. EBADMSG if it is no database.
    static Result<std::vector<std::string>> integrity_findings(const std::string& path);

    Status execute(const std::string& sql);
    Result<Statement> prepare(const std::string& sql);
    Result<std::int64_t> schema_version();
    Status set_schema_version(std::int64_t version);
    const std::string& path() const { return path_; }

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
    friend class OnlineCopy;
    Status open_locked();
    // Adds what is wrong to `findings`, at most `most` sentences.
    Status check_integrity(int most, std::vector<std::string>& findings);
    // Closing writes what is in the log into the database, and removes the log.
    void fold_log_at_close(bool fold);

    sqlite3* connection_ = nullptr;
    std::string path_;
};

}  // namespace drivebay::store
