// What is open through the mount. The kernel sends RELEASE only after every request on the handle was answered, so a
// handle that a request names stays where it is until that request's answer; nobody touches it after that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "fusefs/engine/view.h"

namespace drivebay {

// When a file was last written to through this mount, or else first seen; shared by its inode and its handles.
using FuseChanged = std::int64_t;  // nanoseconds since 1970

// An open file: one view, hence one epoch, whatever becomes of the name.
struct FuseHandle {
    std::shared_ptr<View> view;
    std::shared_ptr<FuseChanged> changed;
    std::uint64_t node = 0;
    bool writable = false;
};

// Loop thread only.
class FuseHandles {
public:
    std::uint64_t add(FuseHandle handle) {
        handles_.emplace(++last_, std::move(handle));
        return last_;
    }
    // nullptr: there is none of that number.
    const FuseHandle* find(std::uint64_t number) const {
        const auto found = handles_.find(number);
        return found == handles_.end() ? nullptr : &found->second;
    }
    // Out of the table before it is destroyed: the end of a view may call back.
    std::optional<FuseHandle> take(std::uint64_t number) {
        auto taken = handles_.extract(number);
        return taken ? std::optional(std::move(taken.mapped())) : std::nullopt;
    }
    void clear() { std::exchange(handles_, {}); }

private:
    std::unordered_map<std::uint64_t, FuseHandle> handles_;
    std::uint64_t last_ = 0;
};

}  // namespace drivebay
