// Judging a store without touching it: drivebay-arbiterd --check-store.
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::arbiter {

struct StoreJudgement {
    std::vector<std::string> findings;  // a sentence each; empty: the store is good
    std::string contents;               // of a good one, in short
};

// Works on a private copy of the file and its log: nothing beside the store is made, written or removed. An error means
// that it could not be judged: EBUSY where an arbiter uses it, ENOENT where there is none, EPROTO where a later version
// wrote it.
Result<StoreJudgement> check_store(const std::string& path);

// The whole of --check-store: prints to stdout, and to stderr why it could not be judged. The exit status: 0 good, 1
// damaged, 2 not judged.
int report_store_check(const std::string& path);

}  // namespace drivebay::arbiter
