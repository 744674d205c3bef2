// A Catalogue as a mounted filesystem: regular files that behave like block devices. libfuse's low-level API decodes
// and encodes; the descriptor is served by the EventLoop, so that no request ever waits for a thread.
//
// What a user of the files meets: direct I/O (no cached data, size or absence), one epoch for each open file, ESHUTDOWN
// once that epoch has ended, EROFS for writing to a read view, ENOSPC at the end of the drive, and EPERM or EROFS for
// whatever would change the tree. O_TRUNC is without effect, as it is on a block device; ftruncate() is EPERM.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fusefs/engine/view.h"
#include "fusefs/fuse_front/fuse_tree.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"

namespace drivebay {

struct FuseSettings {
    std::string mount_point;  // an existing folder
    std::string source;       // what mount(8) shows in the first column
    FuseTree::Layout layout = FuseTree::Layout::management;
    bool read_only = false;
    bool allow_other = false;  // not only the mounting user; the files' mode bits then decide
};

class FuseSession {
public:
    // Loop, catalogue and its views must outlive the session.
    FuseSession(EventLoop& loop, Catalogue& catalogue, FuseSettings settings);
    // After stop() has called back, or if start() failed. Unmounts as a last resort.
    ~FuseSession();
    FuseSession(const FuseSession&) = delete;
    FuseSession& operator=(const FuseSession&) = delete;

    // Mounts; needs CAP_SYS_ADMIN. To be called before the loop runs, or on its thread. A mount that a dead predecessor
    // left (ENOTCONN) is taken away first. `ready` runs when the kernel and the session have agreed (FUSE_INIT),
    // `ended` when somebody else has unmounted it.
    Status start(std::function<void()> ready, std::function<void()> ended);

    // Loop thread. Takes the mount away, lets what was asked before be answered, then calls back. Files still open get
    // ENOTCONN from here on.
    void stop(std::function<void()> stopped);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace drivebay
