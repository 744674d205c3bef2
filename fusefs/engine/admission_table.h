// The durable table of what is admitted, in SQLite: in force again at the next start without any arbiter. One thread
// owns it (the control thread).
#pragma once

#include <string>

#include "fusefs/engine/admission_plan.h"
#include "lib/base/result.h"
#include "lib/store/sqlite.h"

namespace drivebay {

class AdmissionTable {
public:
    // `path`: the database file; made if it is missing. The pseudo-blade's leases are revoked (revoke_local).
    static Result<AdmissionTable> open(const std::string& path, const LocalEpochs& still_open = {});

    const TableState& state() const { return state_; }

    // Makes `next` durable, then current. After an error the old state stays, in the file and here.
    Status commit(TableState next);

private:
    AdmissionTable(store::Database database, TableState state)
        : database_(std::move(database)), state_(std::move(state)) {}

    store::Database database_;
    TableState state_;
};

}  // namespace drivebay
