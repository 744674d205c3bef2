// What all NBD clients together may make this process hold, and of that those of one view. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>

namespace drivebay::nbd {

class MemoryBudget {
public:
    // What one view's clients hold.
    struct Part {
        std::size_t used = 0;
    };

    explicit MemoryBudget(std::size_t limit) : limit_(limit), part_limit_(limit / 4) {}
    // The same one for as long as anybody has it. `view` is only compared.
    std::shared_ptr<Part> part_of(const void* view);
    // A first taker, of all or of its part, always gets what it asks for. False: `wake` will be called when it can be had,
    // in the order of those that wait; but nobody waits for one whose view has all that it may.
    bool take(std::size_t bytes, Part& part, std::uint64_t who, std::function<void()> wake);
    // Beyond the limits.
    void take_anyway(std::size_t bytes, Part& part);
    void give_back(std::size_t bytes, Part& part);
    void forget(std::uint64_t who);

private:
    struct Waiting {
        std::size_t bytes = 0;
        const Part* part = nullptr;
        std::uint64_t who = 0;
        std::function<void()> wake;
    };
    bool fits(std::size_t bytes, const Part& part) const;
    bool part_fits(std::size_t bytes, const Part& part) const;

    const std::size_t limit_;
    const std::size_t part_limit_;  // so that one blade that takes all it gets leaves something to the others
    std::size_t used_ = 0;
    std::deque<Waiting> waiting_;
    std::uint64_t woken_ = 0;  // who is being woken, until it has taken
    std::map<const void*, std::weak_ptr<Part>> parts_;
};

}  // namespace drivebay::nbd
