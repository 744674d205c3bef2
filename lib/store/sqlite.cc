#include "lib/store/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <utility>

namespace drivebay::store {
namespace {

Error store_error(sqlite3* connection, const std::string& path) {
    const int code = sqlite3_errcode(connection);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return {EBUSY, fmt::format("the store {} is in use by another process; stop that one first", path)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return {EBADMSG, fmt::format("the store {} is damaged or is no database ({}); it was left as it is: move it "
                                     "aside, or put a backup in its place",
                                     path, sqlite3_errmsg(connection))};
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

Result<Database> Database::open(const std::string& path) {
    Database database;
    database.path_ = path;
    if (sqlite3_open_v2(path.c_str(), &database.connection_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
        SQLITE_OK) {
        return store_error(database.connection_, path);
    }
    sqlite3_extended_result_codes(database.connection_, 1);
    // A killed predecessor's locks are gone once its last I/O is: wait for that, not for a living one.
    sqlite3_busy_timeout(database.connection_, 2000);
    // The empty write transaction takes the exclusive lock now, so that a second process is refused at once.
    if (Status ready = database.execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
                                        "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                                        "BEGIN EXCLUSIVE; COMMIT");
        !ready) {
        return ready.error();
    }
    Result<Statement> check = database.prepare("PRAGMA quick_check(1)");
    if (!check) {
        return check.error();
    }
    const Result<bool> row = check->step();
    if (!row) {
        return row.error();
    }
    if (*row && check->text(0) != "ok") {
        return Error{EBADMSG, fmt::format("the store {} is damaged ({}); it was left as it is: move it aside, or put a "
                                          "backup in its place",
                                          path, check->text(0))};
    }
    return database;
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
