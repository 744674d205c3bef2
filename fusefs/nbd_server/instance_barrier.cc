#include "fusefs/nbd_server/instance_barrier.h"

#include <algorithm>
#include <utility>

#include "lib/base/planted_bug.h"

namespace drivebay::nbd {

bool InstanceBarrier::older_inside() const {
    return std::any_of(inside_.begin(), inside_.end(), [this](const auto& entry) { return entry.second < highest_; });
}

InstanceBarrier::Decision InstanceBarrier::arrive(Connection connection, std::uint64_t instance,
                                                  std::vector<Connection>& shut, std::vector<Connection>& dropped) {
    if (instance < highest_) {
        return Decision::refuse;
    }
    if (instance > highest_) {
        // Those below the old mark were shut when it was set.
        for (const auto& [inside, its_instance] : inside_) {
            if (its_instance == highest_) {
                shut.push_back(inside);
            }
        }
        dropped.insert(dropped.end(), waiting_.begin(), waiting_.end());
        waiting_.clear();
        highest_ = instance;
    }
    if (older_inside() && !planted(PlantedBug::no_reconnect_barrier)) {
        waiting_.push_back(connection);
        return Decision::wait;
    }
    inside_.emplace(connection, instance);
    return Decision::enter;
}

void InstanceBarrier::left(Connection connection, std::vector<Connection>& entering) {
    std::erase(waiting_, connection);
    inside_.erase(connection);
    if (!waiting_.empty() && !older_inside()) {
        for (const Connection waiter : waiting_) {
            inside_.emplace(waiter, highest_);
            entering.push_back(waiter);
        }
        waiting_.clear();
    }
}

}  // namespace drivebay::nbd
