#include "fusefs/nbd_server/loop_turns.h"

#include <algorithm>
#include <utility>

namespace drivebay::nbd {

namespace {

// A turn costs the loop at least as much time as moving so many bytes.
constexpr std::size_t least_cost = std::size_t{8} << 10;

}  // namespace

void LoopTurns::ask(Member& member, const void* group) {
    if (std::exchange(member.asked_, true)) {
        return;
    }
    auto found = std::find_if(groups_.begin(), groups_.end(), [group](const Group& one) { return one.key == group; });
    if (found == groups_.end()) {
        found = groups_.insert(groups_.end(), Group{group});
    }
    member.next_turn_ = nullptr;
    (found->first == nullptr ? found->first : found->last->next_turn_) = &member;
    found->last = &member;
    loop_.start_polling(*this);
}

void LoopTurns::forget(Member& member) {
    if (!std::exchange(member.asked_, false)) {
        return;
    }
    for (Group& group : groups_) {
        Member* before = nullptr;
        for (Member* one = group.first; one != nullptr; before = std::exchange(one, one->next_turn_)) {
            if (one == &member) {
                (before == nullptr ? group.first : before->next_turn_) = one->next_turn_;
                group.last = group.last == one ? before : group.last;
                return;
            }
        }
    }
}

bool LoopTurns::poll() {
    const std::size_t most = groups_.size() == 1 && loop_.polls_alone(*this) ? share_alone : share;
    bool share_spent = false;
    // By index: a turn may make others ask.
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        std::size_t left = most;
        while (groups_[i].first != nullptr && left > 0) {
            Member& member = *groups_[i].first;
            groups_[i].first = std::exchange(member.next_turn_, nullptr);
            member.asked_ = false;
            left -= std::min(left, std::max(member.take_turn(left), least_cost));
        }
        share_spent = share_spent || left == 0;
    }
    std::erase_if(groups_, [](const Group& group) { return group.first == nullptr; });
    if (groups_.empty()) {
        loop_.stop_polling(*this);
    }
    if (share_spent) {
        loop_.look_at_descriptors();
    }
    return true;
}

}  // namespace drivebay::nbd
