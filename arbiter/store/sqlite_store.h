// The store in one SQLite file: one transaction a commit. Its tables are in schema.h, how they are read in
// stored_rows.h.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "arbiter/store/store.h"
#include "lib/store/sqlite.h"

namespace drivebay::arbiter {

class SqliteStore : public Store {
public:
    // A store of an earlier schema is brought up to date, and a copy of it kept (schema.h). EBUSY with a sentence if
    // another arbiter has it, EBADMSG if it is damaged or holds what cannot be, EPROTO if a later version wrote it; in
    // all of these the file is left as it was.
    static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

    Result<State> load() override;
    Status commit(const State& state, const Changes& changes) override;
    Result<std::unique_ptr<StoreCopy>> copy() override;
    std::string place() const override { return database_.path(); }

private:
    explicit SqliteStore(store::Database database) : database_(std::move(database)) {}

    Status write_drive(const State& state, const std::string& name);
    Status write_blade(const State& state, const std::string& name);
    Status write_request(const State& state, const std::string& id);
    Status write_lease(const State& state, LeaseId id);
    Status write_number(const std::string& key, std::int64_t value);
    // One statement with its parameters bound in order, run to its end.
    template <class... Values>
    Status run(const std::string& sql, const Values&... values);

    store::Database database_;
    std::map<std::string, store::Statement> statements_;
};

}  // namespace drivebay::arbiter
