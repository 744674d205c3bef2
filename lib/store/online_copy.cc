#include "lib/store/online_copy.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/durable_file.h"

namespace drivebay::store {

Result<OnlineCopy> OnlineCopy::begin(Database& source, const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return system_error(errno, "cannot make " + path);
    }
    OnlineCopy copy;
    copy.path_ = path;
    // The caller makes it durable, or throws it away: a journal of its own would be for nothing.
    if (sqlite3_open_v2(path.c_str(), &copy.target_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
            SQLITE_OK ||
        sqlite3_exec(copy.target_, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", nullptr, nullptr, nullptr) !=
            SQLITE_OK) {
        return copy.error();
    }
    copy.backup_ = sqlite3_backup_init(copy.target_, "main", source.connection_, "main");
    if (copy.backup_ == nullptr) {
        return copy.error();
    }
    return copy;
}

OnlineCopy::OnlineCopy(OnlineCopy&& other) noexcept
    : target_(std::exchange(other.target_, nullptr)),
      backup_(std::exchange(other.backup_, nullptr)),
      path_(std::move(other.path_)) {}

OnlineCopy::~OnlineCopy() {
    sqlite3_backup_finish(backup_);
    sqlite3_close_v2(target_);
}

Result<bool> OnlineCopy::step(int pages) {
    const int code = sqlite3_backup_step(backup_, pages);
    if (code == SQLITE_OK) {
        return false;
    }
    const int finished = sqlite3_backup_finish(std::exchange(backup_, nullptr));
    if (code != SQLITE_DONE || finished != SQLITE_OK) {
        return error();
    }
    sqlite3_close_v2(std::exchange(target_, nullptr));
    return true;
}

Error OnlineCopy::error() const {
    const int code = sqlite3_errcode(target_) & 0xff;
    return {code == SQLITE_FULL ? ENOSPC : EIO,
            fmt::format("the copy {} cannot be written: {}", path_, sqlite3_errmsg(target_))};
}

Status keep_copy(Database& source, const std::string& path) {
    const std::string unfinished = path + ".new";
    {
        auto copy = OnlineCopy::begin(source, unfinished);
        if (!copy) {
            return copy.error();
        }
        if (const auto whole = copy->step(-1); !whole) {
            ::unlink(unfinished.c_str());
            return whole.error();
        }
    }
    return put_in_place(unfinished, path, Replace::yes);
}

}  // namespace drivebay::store
