#include "lib/store/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <filesystem>
#include <utility>

namespace drivebay::store {
namespace {

Error damaged(const std::string& path, std::string_view what) {
    return {EBADMSG, fmt::format("the store {} is damaged or is no database ({}); it was left as it is: move it aside, "
                                 "or put a backup in its place",
                                 path, what)};
}

bool is_there(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

// 0 also where it is not there.
std::uintmax_t file_size(const std::string& path) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    return error ? 0 : size;
}

Error store_error(sqlite3* connection, const std::string& path) {
    const int code = sqlite3_errcode(connection);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return {EBUSY, fmt::format("the store {} is in use by another process; stop that one first", path)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return damaged(path, sqlite3_errmsg(connection));
    case SQLITE_CANTOPEN:
        return {ENOENT, fmt::format("the store {} cannot be opened; does its folder exist, and may this user write there?",
                                    path)};
    case SQLITE_FULL: return {ENOSPC, fmt::format("the store {} cannot grow: its disk is full", path)};
    case SQLITE_READONLY: return {EROFS, fmt::format("the store {} cannot be written", path)};
    default: return {EIO, fmt::format("the store {}: {}", path, sqlite3_errmsg(connection))};
    }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int index, std::string_view text) {
    sqlite3_bind_text(statement_, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
}

Statement& Statement::bind(int index, std::int64_t number) {
    sqlite3_bind_int64(statement_, index, number);
    return *this;
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        return code == SQLITE_ROW;
    }
    sqlite3* const connection = sqlite3_db_handle(statement_);
    return store_error(connection, sqlite3_db_filename(connection, "main"));
}

std::string Statement::text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

std::int64_t Statement::number(int column) const { return sqlite3_column_int64(statement_, column); }

void Statement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
}

Database::Database(Database&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)), path_(std::move(other.path_)) {}

Database& Database::operator=(Database&& other) noexcept {
    std::swap(connection_, other.connection_);
    std::swap(path_, other.path_);
    return *this;
}

Database::~Database() { sqlite3_close_v2(connection_); }

Result<Database> Database::open(const std::string& path, const std::function<Status(Database&)>& before_use) {
    const std::string log = path + "-wal";
    const bool had_log = is_there(log);
    const std::uintmax_t size = file_size(path);
    // SQLite takes a file that is shorter than its header for a new database, and would throw the log of an empty one away.
    if (size > 0 && size < 512) {
        return damaged(path, "it was cut off");
    }
    if (size == 0 && file_size(log) > 0) {
        return damaged(path, "it is empty, and its log is not");
    }
    Database database;
    database.path_ = path;
    const auto settle = [&]() -> Status {
        if (Status opened = database.open_locked(); !opened) {
            return opened;
        }
        std::vector<std::string> findings;
        if (Status checked = database.check_integrity(1, findings); !checked) {
            return checked;
        }
        if (!findings.empty()) {
            return damaged(path, findings.front());
        }
        if (Status prepared = before_use ? before_use(database) : success(); !prepared) {
            return prepared;
        }
        return database.execute("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON");
    };
    if (Status settled = settle(); !settled) {
        // An empty log that SQLite made; nobody else who has one could have let us come as far as another error.
        if (settled.error().code != EBUSY && !had_log && file_size(log) == 0) {
            std::error_code ignored;
            std::filesystem::remove(log, ignored);
        }
        return settled.error();
    }
    database.fold_log_at_close(true);
    return database;
}

Status Database::open_locked() {
    const int code =
        sqlite3_open_v2(path_.c_str(), &connection_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    if (code != SQLITE_OK) {
        return store_error(connection_, path_);
    }
    sqlite3_extended_result_codes(connection_, 1);
    // A killed predecessor's locks are gone once its last I/O is: wait for that, not for a living one.
    sqlite3_busy_timeout(connection_, 2000);
    fold_log_at_close(false);
    // The empty write transaction takes the exclusive lock now, so that a second process is refused at once.
    return execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; BEGIN EXCLUSIVE; COMMIT");
}

void Database::fold_log_at_close(bool fold) {
    sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, fold ? 0 : 1, nullptr);
}

Status Database::check_integrity(int most, std::vector<std::string>& findings) {
    auto check = prepare(fmt::format("PRAGMA integrity_check({})", most));
    if (!check) {
        return check.error();
    }
    for (;;) {
        const Result<bool> row = check->step();
        if (!row) {
            return row.error();
        }
        if (!*row) {
            return success();
        }
        if (check->text(0) != "ok") {
            findings.push_back(check->text(0));
        }
    }
}

Result<std::vector<std::string>> Database::integrity_findings(const std::string& path) {
    Database database;
    database.path_ = path;
    if (sqlite3_open_v2(path.c_str(), &database.connection_, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
        return store_error(database.connection_, path);
    }
    std::vector<std::string> findings;
    if (Status checked = database.check_integrity(100, findings); !checked) {
        return checked.error();
    }
    return findings;
}

Status Database::execute(const std::string& sql) {
    if (sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
        return store_error(connection_, path_);
    }
    return success();
}

Result<Statement> Database::prepare(const std::string& sql) {
    Statement statement;
    if (sqlite3_prepare_v2(connection_, sql.c_str(), static_cast<int>(sql.size()), &statement.statement_, nullptr) !=
        SQLITE_OK) {
        return store_error(connection_, path_);
    }
    return statement;
}

Result<std::int64_t> Database::schema_version() {
    Result<Statement> statement = prepare("PRAGMA user_version");
    if (!statement) {
        return statement.error();
    }
    if (const Result<bool> row = statement->step(); !row) {
        return row.error();
    }
    return statement->number(0);
}

Status Database::set_schema_version(std::int64_t version) {
    return execute(fmt::format("PRAGMA user_version={}", version));
}

}  // namespace drivebay::store
