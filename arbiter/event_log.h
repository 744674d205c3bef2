// The audit log: one JSON object a line, appended for ever, and the last of them in memory for whoever asks.
// Fields: id (rising, also across restarts), time, event, and what the event has of drive, blade, lease, epoch, mode,
// by (who asked for it), detail. One thread, but for write().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arbiter/core/lease_core.h"
#include "lib/base/fd.h"
#include "lib/base/result.h"

namespace drivebay::arbiter {

class EventLog {
public:
    struct Line {
        std::uint64_t id = 0;
        std::string json;
    };

    // Goes on after the highest id in the file, or after `least` in an empty one (a rotated one).
    static Result<std::unique_ptr<EventLog>> open(const std::string& path, std::uint64_t least);

    // An event's line, with its id and time. Nobody sees it before keep().
    Line draw_up(const AuditEntry& entry);
    // To the file; may wait for the disk, and is for one other thread to call. Lines that the disk does not take are told
    // in the program's log and kept in memory alone: leases never wait for them.
    void write(const std::vector<Line>& lines);
    // Lets whoever asks see them.
    void keep(std::vector<Line> lines);
    // After a rotation moved the file away.
    Status reopen();

    // Of those that can be seen.
    std::uint64_t last() const { return last_; }
    // Those after `after` that are still in memory, oldest first, at most `most`.
    std::vector<Line> after(std::uint64_t after, std::size_t most) const;

private:
    explicit EventLog(std::string path) : path_(std::move(path)) {}
    void read_back();

    std::string path_;
    std::mutex mutex_;  // of file_ alone, never held while the disk is waited for
    std::shared_ptr<const UniqueFd> file_;
    std::uint64_t drawn_up_ = 0;
    std::uint64_t last_ = 0;
    std::deque<Line> recent_;
    bool failing_ = false;  // of write()'s thread
};

}  // namespace drivebay::arbiter
