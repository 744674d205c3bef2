// The reconnect barrier of one (drive, blade, epoch), as a pure state machine (doc/PROTOCOL.md, "Names"): a client that
// comes back as a higher instance repeats what was not answered, so everything of its lower instances must have reached
// the drive, or never will, before the new one is let in. Otherwise a late old write lands on a newer one.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace drivebay::nbd {

class InstanceBarrier {
public:
    using Connection = std::uint64_t;

    enum class Decision { enter, wait, refuse };

    // A connection asks to begin. `shut` gets the connections to be shut now: no request of theirs is read any more, and
    // each is reported by left() once its last I/O has completed. `dropped` gets those that waited and are too old now.
    Decision arrive(Connection connection, std::uint64_t instance, std::vector<Connection>& shut,
                    std::vector<Connection>& dropped);

    // A connection has gone and nothing of it is in flight; or it gave up waiting. Those that may enter now are
    // appended to `entering`.
    void left(Connection connection, std::vector<Connection>& entering);

    std::uint64_t highest() const { return highest_; }

private:
    bool older_inside() const;

    std::uint64_t highest_ = 0;
    std::map<Connection, std::uint64_t> inside_;  // their instances; of the lower ones until they have left
    std::vector<Connection> waiting_;             // all of instance highest_
};

}  // namespace drivebay::nbd
