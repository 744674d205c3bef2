#include "lib/base/strangers.h"

#include "lib/base/log.h"

namespace drivebay {

std::optional<Strangers::Id> Strangers::add(Id id, const std::string& address) {
    const std::string host = address.substr(0, address.rfind(':'));
    const auto same = by_host_.find(host);
    const std::size_t here = same == by_host_.end() ? 0 : same->second.size();
    std::optional<Id> going;
    if (here >= most_of_one_) {
        going = *same->second.begin();
    } else if (all_.size() >= most_) {
        going = all_.begin()->first;
    }
    if (going) {
        complain(host, here);
        remove(*going);
    }
    all_.emplace(id, host);
    by_host_[host].insert(id);
    return going;
}

void Strangers::remove(Id id) {
    const auto found = all_.find(id);
    if (found == all_.end()) {
        return;
    }
    const auto same = by_host_.find(found->second);
    same->second.erase(id);
    if (same->second.empty()) {
        by_host_.erase(same);
    }
    all_.erase(found);
}

void Strangers::complain(const std::string& host, std::size_t here) {
    // A line for each would be a weapon.
    if (complaint_.is_time()) {
        log::warning(whom_ + " are hung up on: too many that have not proved who they are",
                     {{"address", host}, {"all", all_.size()}, {"of this address", here}});
    }
}

}  // namespace drivebay
