#include "fusefs/nbd_server/memory_budget.h"

#include <algorithm>
#include <utility>

namespace drivebay::nbd {

std::shared_ptr<MemoryBudget::Part> MemoryBudget::part_of(const void* view) {
    std::erase_if(parts_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<Part>& known = parts_[view];
    std::shared_ptr<Part> part = known.lock();
    if (!part) {
        known = part = std::make_shared<Part>();
    }
    return part;
}

bool MemoryBudget::part_fits(std::size_t bytes, const Part& part) const {
    return part.used == 0 || part.used + bytes <= part_limit_;
}

bool MemoryBudget::fits(std::size_t bytes, const Part& part) const {
    return part_fits(bytes, part) && (used_ == 0 || used_ + bytes <= limit_);
}

bool MemoryBudget::take(std::size_t bytes, Part& part, std::uint64_t who, std::function<void()> wake) {
    // One that asks for little does not overtake for ever one that waits for much.
    const bool others_first = std::exchange(woken_, 0) != who && std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
        return part_fits(one.bytes, *one.part);
    });
    if (!others_first && fits(bytes, part)) {
        take_anyway(bytes, part);
        return true;
    }
    waiting_.push_back({bytes, &part, who, std::move(wake)});
    return false;
}

void MemoryBudget::take_anyway(std::size_t bytes, Part& part) {
    used_ += bytes;
    part.used += bytes;
}

void MemoryBudget::give_back(std::size_t bytes, Part& part) {
    used_ -= bytes;
    part.used -= bytes;
    // By index, again from the beginning after each: who is woken takes, and perhaps waits again.
    for (std::size_t woken = 0, most = waiting_.size(); woken < most; ++woken) {
        const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                       [this](const Waiting& one) { return part_fits(one.bytes, *one.part); });
        if (next == waiting_.end() || !fits(next->bytes, *next->part)) {
            return;
        }
        const std::function<void()> wake = std::move(next->wake);
        woken_ = next->who;
        waiting_.erase(next);
        wake();
        woken_ = 0;
    }
}

void MemoryBudget::forget(std::uint64_t who) {
    std::erase_if(waiting_, [who](const Waiting& waiting) { return waiting.who == who; });
}

}  // namespace drivebay::nbd
