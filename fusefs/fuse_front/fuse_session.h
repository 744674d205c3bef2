// A Catalogue as a mounted filesystem: regular files that behave like block devices. libfuse's low-level API decodes
// and encodes; the descriptor is served by the EventLoop, so that no request ever waits for a thread.
//
// What a user of the files meets: direct I/O (no cached data, size or absence), one epoch for each open file, ESHUTDOWN
// once that epoch has ended, EROFS for writing to a read view, ENOSPC at the end of the drive, and EPERM or EROFS for
// whatever would change the tree. O_TRUNC is without effect, as it is on a block device; ftruncate() is EPERM.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "fusefs/engine/view.h"
#include "fusefs/fuse_front/fuse_tree.h"
#include "fusefs/keeper/kept_session.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/result.h"

namespace drivebay {

struct FuseSettings {
    FuseTree::Layout layout = FuseTree::Layout::management;
    Duration pause_limit = std::chrono::seconds(8);  // of files that were open before this server
    bool refuse_suspects = false;                    // EIO to the requests over which servers died before
};

class FuseSession {
public:
    // Loop, catalogue and its views must outlive the session. `kept`: mounted (keeper/fuse_mount.h), and either new or what a
    // dead server left: that one's requests, inodes and open files are then taken over.
    FuseSession(EventLoop& loop, Catalogue& catalogue, KeptSession kept, FuseSettings settings);
    // After stop() has called back, or if start() failed. Unmounts as a last resort.
    ~FuseSession();
    FuseSession(const FuseSession&) = delete;
    FuseSession& operator=(const FuseSession&) = delete;

    // To be called before the loop runs, or on its thread. `ready` runs when the kernel and the session have agreed
    // (FUSE_INIT), `ended` when somebody else has unmounted it.
    Status start(std::function<void()> ready, std::function<void()> ended);

    // Loop thread. Takes the mount away, lets what was asked before be answered, then calls back. Files still open get
    // ENOTCONN from here on.
    void stop(std::function<void()> stopped);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace drivebay
