// The tables of the store and how an older store gets them. PRAGMA user_version says which schema a file has.
#pragma once

#include <cstdint>
#include <functional>

#include "lib/store/sqlite.h"

namespace drivebay::arbiter {

inline constexpr std::int64_t newest_schema = 2;

struct Upgrade {
    // Called with the schema of an older store before anything of it is changed; its error ends the matter. Optional.
    std::function<Status(std::int64_t older)> before;
    // Called when the store has the newest schema, in the same transaction: its error undoes everything.
    std::function<Status()> judge;
};

// Brings a store of any earlier schema, or a new and empty one, to `newest_schema`. EPROTO if a later version wrote the
// store, EBADMSG if it is another program's database; nothing is changed then.
Status bring_up_to_date(store::Database& database, const Upgrade& upgrade);

}  // namespace drivebay::arbiter
