// A view is one blade's sight of one drive for one epoch. Its gate decides at each submission; what was opened through
// it stays bound to its epoch for ever.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/drive.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct ViewInfo {
    Admission admission;
    DriveKind kind = DriveKind::disk;
    DriveGeometry geometry;
    std::string description;  // of the NBD export
};

// Held by each open file handle and each NBD connection. Loop thread only.
class View {
public:
    virtual ~View() = default;
    virtual const ViewInfo& info() const = 0;
    // Enters the gate and passes the request to the drive, or completes it soon with: ESHUTDOWN (the epoch has ended),
    // EROFS (a write through a read view), EINVAL (beyond the end: callers clip reads and refuse writes before), or
    // what the drive says. `done` as for Drive::submit().
    virtual void submit(IoRequest& request) = 0;
    // True once the epoch has ended here. `on_end` callbacks run once, at that moment; they may be dropped by id.
    virtual bool ended() const = 0;
    virtual std::uint64_t on_end(std::function<void()> callback) = 0;
    virtual void forget(std::uint64_t callback_id) = 0;
};

// What can be looked up and opened: the management module's table of admissions, or a blade's directory of exports.
// Loop thread only; callbacks come on it, perhaps from inside the call.
class Catalogue {
public:
    enum class Folder { blades, drives };  // a blade's own mount has one folder; it uses `drives`

    virtual ~Catalogue() = default;

    // On a management module, Folder::blades: the blades that have a view now.
    virtual void list_blades(std::function<void(std::vector<std::string>)> callback) = 0;
    // `blade` is empty in Folder::drives.
    virtual void list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) = 0;
    // ENOENT: no such view, or not with that epoch.
    virtual void look_up(const std::string& blade, const DriveReference& name,
                         std::function<void(Result<ViewInfo>)> callback) = 0;
    // Opens for reading, or for reading and writing. EROFS: the view is read-only. EBUSY: (Folder::drives on a
    // management module) another blade's lease forbids it. EHOSTUNREACH: who must be asked does not answer.
    // The last shared_ptr to the view closes it.
    virtual void open(const std::string& blade, const DriveReference& name, Mode mode,
                      std::function<void(Result<std::shared_ptr<View>>)> callback) = 0;
    // A file of that epoch is open, although its view is not: while what this returns lives, nobody is told that the epoch
    // is drained.
    virtual std::shared_ptr<void> hold(const std::string&, const DriveReference&) { return nullptr; }
};

}  // namespace drivebay
