// How SqliteStore copies itself: first into a file beside it, by SQLite's online backup, then that file's bytes.
#pragma once

#include <memory>
#include <string>

#include "arbiter/store/store.h"
#include "lib/store/sqlite.h"

namespace drivebay::arbiter {

// The file lives as long as the copy does.
Result<std::unique_ptr<StoreCopy>> begin_copy(store::Database& database);

// What an arbiter that was killed while it copied left behind beside the store `path`.
void remove_unfinished_copy(const std::string& path);

}  // namespace drivebay::arbiter
