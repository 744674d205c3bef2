// Where the arbiter keeps what must outlive it. A few verbs, so that a distributed store can take SQLite's place.
#pragma once

#include <memory>
#include <string>

#include "arbiter/core/lease_core.h"
#include "lib/base/result.h"

namespace drivebay::arbiter {

// A copy of the whole store that is taken while the store goes on being used, in steps of about a millisecond.
class StoreCopy {
public:
    virtual ~StoreCopy() = default;

    struct Piece {
        bool is_last = false;
        std::string bytes;  // that follow those of the pieces before; a multiple of 3 in all but the last; may be none
    };
    // After the last piece, and after an error, there is no further step.
    virtual Result<Piece> step() = 0;
};

class Store {
public:
    virtual ~Store() = default;

    // The stored part of the state, as the last commit left it; an empty one from a new store.
    virtual Result<State> load() = 0;
    // Writes the rows that `changes` names as `state` has them now, all or none, durably. After an error nothing may
    // become visible that rests on them.
    virtual Status commit(const State& state, const Changes& changes) = 0;
    // One at a time; what is committed before its first bytes come is in it. It must be gone before the store is.
    virtual Result<std::unique_ptr<StoreCopy>> copy() = 0;
    // For people: where the store is, so that they can put a copy back.
    virtual std::string place() const = 0;
};

}  // namespace drivebay::arbiter
