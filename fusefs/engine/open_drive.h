// From a source (a regular file, a block device, an NBD URI) to a Drive, and what can be wrong on the way.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fusefs/engine/local_drive.h"
#include "fusefs/engine/drive.h"
#include "fusefs/engine/drive_policies.h"
#include "fusefs/engine/write_intent.h"
#include "lib/base/result.h"

namespace drivebay {

struct OpenWish {
    std::string source;
    bool read_only = false;
    CachePolicy cache = CachePolicy::automatic;
    std::vector<std::string> roots;  // as DrivePolicies'
    // The source is open in this process already, under the same name: no lock is taken, the other one's holds.
    bool shared = false;
    bool trust_reconnect = false;   // URIs: repeat unanswered writes on a server that has no reconnect barrier
    WriteIntent::Mark mark_writes;  // URIs: see open_remote_drive()
    // How long to wait for a lock: a killed predecessor keeps its own until its last AIO has completed.
    Duration lock_patience = std::chrono::seconds(3);
};

// Opens a path and judges it; blocks. Block devices O_EXCL, files under an OFD lock (a read lock where read_only), O_DIRECT
// where the file system has it. Errors, each a sentence: ENOENT, EISDIR, EINVAL (not a file or device, empty, smaller than
// a block of 512, not a multiple of it), EROFS (not writable: offers --read-only), EACCES (a file below none of the roots, too), EXDEV (leads out of its root),
// EBUSY (held by someone else).
Result<OpenedFile> open_file(const OpenWish& wish);

// The same for paths and URIs, off the loop's thread. Loop thread; `callback` comes on it, later.
void open_drive(AioResources resources, const OpenWish& wish,
                std::function<void(Result<std::unique_ptr<Drive>>)> callback);

}  // namespace drivebay
