#include "lib/base/strangers.h"

#include <sys/socket.h>

#include "lib/base/log.h"

namespace drivebay {

Strangers::Place Strangers::add(Id id, const std::string& address, Instant now) {
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
        if (pay(host, &Allowance::others_places, now) == Paid::nothing) {
            return {false};
        }
        remove(*going);
    }
    all_.emplace(id, Stranger{host});
    by_host_[host].insert(id);
    return {true, going};
}

void Strangers::remove(Id id) {
    const auto found = all_.find(id);
    if (found == all_.end()) {
        return;
    }
    const auto same = by_host_.find(found->second.host);
    same->second.erase(id);
    if (same->second.empty()) {
        by_host_.erase(same);
    }
    waiting_.erase(id);
    all_.erase(found);
}

void Strangers::proved(Id id) {
    const auto found = all_.find(id);
    if (found == all_.end()) {
        return;
    }
    const Stranger stranger = found->second;
    remove(id);
    if (stranger.paid == Paid::as_anybody) {
        anybodys_.handshakes.give_back();
    }
    remember(stranger.host);
    if (stranger.paid == Paid::as_known) {
        known_.back().allowance.handshakes.give_back();
    }
}

bool Strangers::may_begin(Id id, Instant now) {
    const auto found = all_.find(id);
    if (found == all_.end()) {
        return false;
    }
    Stranger& stranger = found->second;
    stranger.paid = pay(stranger.host, &Allowance::handshakes, now);
    if (stranger.paid == Paid::nothing) {
        waiting_.insert(id);
    }
    return stranger.paid != Paid::nothing;
}

Strangers::Paid Strangers::pay(const std::string& host, TokenBucket Allowance::*for_what, Instant now) {
    const auto known = known_by_host_.find(host);
    if (known != known_by_host_.end() && (known->second->allowance.*for_what).take(now)) {
        return Paid::as_known;
    }
    return (anybodys_.*for_what).take(now) ? Paid::as_anybody : Paid::nothing;
}

// The newest: the oldest are the next to be hung up on, and may have given up.
std::optional<Strangers::Id> Strangers::next(Instant now) {
    if (waiting_.empty() || !anybodys_.handshakes.take(now)) {
        return std::nullopt;
    }
    const Id id = *waiting_.rbegin();
    waiting_.erase(id);
    all_.at(id).paid = Paid::as_anybody;
    return id;
}

void Strangers::remember(const std::string& host) {
    const auto [entry, is_new] = known_by_host_.try_emplace(host);
    if (!is_new) {
        known_.splice(known_.end(), known_, entry->second);
        return;
    }
    entry->second = known_.insert(known_.end(), Known{host});
    if (known_.size() > most_known) {
        known_by_host_.erase(known_.front().host);
        known_.pop_front();
    }
}

void Strangers::complain(const std::string& host, std::size_t here) {
    // A line for each would be a weapon.
    if (complaint_.is_time()) {
        log::warning(whom_ + " are hung up on: too many that have not proved who they are",
                     {{"address", host}, {"all", all_.size()}, {"of this address", here}});
    }
}

void turn_away(UniqueFd socket) {
    // A reset instead of TCP's way of closing (socket(7), SO_LINGER).
    const linger at_once{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace drivebay
