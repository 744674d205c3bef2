#include "fusefs/nbd_server/memory_budget.h"

#include <utility>
#include <vector>

namespace drivebay::nbd {

bool MemoryBudget::take(std::size_t bytes, std::uint64_t who, std::function<void()> wake) {
    if (used_ == 0 || used_ + bytes <= limit_) {
        used_ += bytes;
        return true;
    }
    waiting_.push_back({who, std::move(wake)});
    return false;
}

void MemoryBudget::give_back(std::size_t bytes) {
    used_ -= bytes;
    // Whoever finds it too little still stands last in the queue again.
    for (std::size_t turns = waiting_.size(); turns > 0 && !waiting_.empty() && used_ < limit_; --turns) {
        const std::function<void()> wake = std::move(waiting_.front().wake);
        waiting_.pop_front();
        wake();
    }
}

void MemoryBudget::forget(std::uint64_t who) {
    std::erase_if(waiting_, [who](const Waiting& waiting) { return waiting.who == who; });
}

}  // namespace drivebay::nbd
