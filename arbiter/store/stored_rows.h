// The state as the rows of a store's file have it.
#pragma once

#include "arbiter/core/lease_table.h"
#include "lib/store/sqlite.h"

namespace drivebay::arbiter {

// Of a file of the newest schema. EBADMSG with the table and the row where one makes no sense.
Result<State> read_rows(store::Database& database);

}  // namespace drivebay::arbiter
