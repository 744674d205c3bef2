// What is open through the mount. The kernel sends RELEASE only after every request on the handle was answered, so a
// handle that a request names stays where it is until that request's answer; nobody touches it after that.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "fusefs/engine/view.h"

namespace drivebay {

// When a file was last written to through this mount, or else first seen; shared by its inode and its handles.
using FuseChanged = std::atomic<std::int64_t>;  // nanoseconds since 1970

// An open file: one view, hence one epoch, whatever becomes of the name.
struct FuseHandle {
    std::shared_ptr<View> view;
    std::shared_ptr<FuseChanged> changed;
    std::uint64_t node = 0;
    bool writable = false;
};

// Any thread; handles are made and dropped by the home loop alone.
class FuseHandles {
public:
    std::uint64_t add(FuseHandle handle) {
        const std::unique_lock lock(mutex_);
        handles_.emplace(++last_, std::make_unique<FuseHandle>(std::move(handle)));
        return last_;
    }
    // nullptr: there is none of that number.
    const FuseHandle* find(std::uint64_t number) const {
        const std::shared_lock lock(mutex_);
        const auto found = handles_.find(number);
        return found == handles_.end() ? nullptr : found->second.get();
    }
    // The end of a view may call back: the handle is the caller's, to be destroyed outside the lock.
    std::unique_ptr<FuseHandle> take(std::uint64_t number) {
        const std::unique_lock lock(mutex_);
        auto taken = handles_.extract(number);
        return taken ? std::move(taken.mapped()) : nullptr;
    }
    void clear() {
        std::unordered_map<std::uint64_t, std::unique_ptr<FuseHandle>> all;
        const std::unique_lock lock(mutex_);
        all.swap(handles_);
    }

private:
    mutable std::shared_mutex mutex_;
    std::unordered_map<std::uint64_t, std::unique_ptr<FuseHandle>> handles_;
    std::uint64_t last_ = 0;
};

}  // namespace drivebay
