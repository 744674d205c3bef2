// A copy of a database while it goes on being used: SQLite's online backup, in steps as small as the caller likes. What
// is committed between two steps is in the copy too, because the same connection writes it.
#pragma once

#include <string>

#include "lib/store/sqlite.h"

struct sqlite3_backup;

namespace drivebay::store {

class OnlineCopy {
public:
    // Makes the file `path` anew. The copy must be gone, or complete, before `source` is.
    static Result<OnlineCopy> begin(Database& source, const std::string& path);

    OnlineCopy(OnlineCopy&& other) noexcept;
    OnlineCopy& operator=(OnlineCopy&&) = delete;
    // An incomplete copy's file stays for the caller to remove.
    ~OnlineCopy();

    // Copies some pages. True: the copy is complete; it may still be in the machine's memory only (fsync is the
    // caller's).
    Result<bool> step(int pages);

private:
    OnlineCopy() = default;
    Error error() const;

    sqlite3* target_ = nullptr;
    sqlite3_backup* backup_ = nullptr;
    std::string path_;
};

// The whole copy at once, durably and in one move: `path` is as it was, or complete.
Status keep_copy(Database& source, const std::string& path);

}  // namespace drivebay::store
