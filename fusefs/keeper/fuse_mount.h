// The mount itself: /dev/fuse, mount(2) and what may stand in its way. Not by libfuse's own mount, so that the
// descriptor is ours: it is closed by us alone, and the mount is taken away while requests that were read are still
// answered.
#pragma once

#include <string>

#include "lib/base/fd.h"
#include "lib/base/result.h"

namespace drivebay {

struct FuseMountOptions {
    std::string mount_point;
    std::string source;
    bool read_only = false;
    bool allow_other = false;
};

struct FuseMount {
    UniqueFd device;   // nonblocking
    std::string path;  // the mount point, absolute and without links
};

inline constexpr const char* fuse_mount_type = "fuse.drivebayfs";

// Takes away what a dead predecessor left, then mounts: needs CAP_SYS_ADMIN. ENOENT, ENOTDIR, EBUSY (a living drivebayfs is mounted there),
// EPERM, each with a sentence. May block as long as looking up the mount point does.
Result<FuseMount> fuse_mount(const FuseMountOptions& options);

// Detaches it from the tree; who has a file open there keeps it until the descriptor is closed.
Status fuse_detach(const std::string& mount_point);

}  // namespace drivebay
