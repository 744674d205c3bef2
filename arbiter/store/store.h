// Where the arbiter keeps what must outlive it. A few verbs, so that a distributed store can take SQLite's place.
#pragma once

#include "arbiter/core/lease_core.h"
#include "lib/base/result.h"

namespace drivebay::arbiter {

class Store {
public:
    virtual ~Store() = default;

    // The stored part of the state, as the last commit left it; an empty one from a new store.
    virtual Result<State> load() = 0;
    // Writes the rows that `changes` names as `state` has them now, all or none, durably. After an error nothing may
    // become visible that rests on them.
    virtual Status commit(const State& state, const Changes& changes) = 0;
};

}  // namespace drivebay::arbiter
