// The audit log: one JSON object a line, appended for ever, and the last of them in memory for whoever asks.
// Fields: id (rising, also across restarts), time, event, and what the event has of drive, blade, lease, epoch, mode,
// detail. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
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

    // A line that the disk does not take is told in the program's log and kept in memory: leases never wait for it.
    void append(const AuditEntry& entry);
    // After a rotation moved the file away.
    Status reopen();

    std::uint64_t last() const { return last_; }
    // Those after `after` that are still in memory, oldest first, at most `most`.
    std::vector<Line> after(std::uint64_t after, std::size_t most) const;

private:
    explicit EventLog(std::string path) : path_(std::move(path)) {}
    void read_back();
    void keep(Line line);

    std::string path_;
    UniqueFd file_;
    std::uint64_t last_ = 0;
    std::deque<Line> recent_;
    bool failing_ = false;
};

}  // namespace drivebay::arbiter
