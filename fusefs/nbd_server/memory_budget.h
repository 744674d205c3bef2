// What all NBD clients together may make this process hold. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

namespace drivebay::nbd {

class MemoryBudget {
public:
    explicit MemoryBudget(std::size_t limit) : limit_(limit) {}
    // A first taker always gets what it asks for. False: `wake` will be called when there may be more.
    bool take(std::size_t bytes, std::uint64_t who, std::function<void()> wake);
    // Beyond the limit.
    void take_anyway(std::size_t bytes) { used_ += bytes; }
    void give_back(std::size_t bytes);
    void forget(std::uint64_t who);

private:
    struct Waiting {
        std::uint64_t who = 0;
        std::function<void()> wake;
    };
    const std::size_t limit_;
    std::size_t used_ = 0;
    std::deque<Waiting> waiting_;
};

}  // namespace drivebay::nbd
