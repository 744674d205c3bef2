// The open files of one mounted filesystem, by the number that the kernel names them with (fuse_file_info::fh); in kept
// memory, too, so that the next server knows them. A handle that a request names stays where it is until that request's
// answer; nobody touches it after that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fusefs/engine/view.h"
#include "fusefs/keeper/kept_memory.h"
#include "fusefs/keeper/kept_table.h"
#include "lib/base/log.h"

namespace drivebay {

// When a file was last written to through this mount, or else first seen; shared by its inode and its handles.
using FuseChanged = std::int64_t;  // nanoseconds since 1970

// An open file: one view, hence one epoch, whatever becomes of the name.
struct FuseHandle {
    std::shared_ptr<View> view;
    std::shared_ptr<FuseChanged> changed;
    std::uint64_t node = 0;
    bool writable = false;
    // Writes that were answered and are not on the drive yet (IoRequest::answer_early); those who wait for the last of them.
    std::uint64_t unsent = 0;
    std::vector<std::function<void()>> all_sent;
    KeptHandle* kept = nullptr;
};

// Loop thread only.
class FuseHandles {
public:
    explicit FuseHandles(KeptLayout& layout) : layout_(layout), records_(layout.handle) {}

    // `opened_by`: the kernel's number of the OPEN.
    std::uint64_t add(FuseHandle handle, std::uint64_t opened_by) {
        const std::uint64_t number = ++layout_.header.last_handle;
        handle.kept = records_.take();
        if (handle.kept != nullptr) {
            handle.kept->opened_by = opened_by;
            handle.kept->node = handle.node;
            handle.kept->epoch = handle.view->info().admission.epoch;
            handle.kept->writable = handle.writable ? 1 : 0;
            handle.kept->number.store(number);
        } else {
            log::warning("more open files than a restarted drivebayfs can take over", {{"kept", KeptLayout::handles}});
        }
        handles_.emplace(number, std::move(handle));
        return number;
    }
    // What a dead server left.
    std::vector<KeptHandle*> left() { return records_.in_use(); }
    void restore(FuseHandle handle) {
        const std::uint64_t number = handle.kept->number.load();
        handles_.emplace(number, std::move(handle));
    }
    // The handle that an OPEN was to be answered with when its server died; 0: there is none.
    std::uint64_t opened_by(std::uint64_t unique) const {
        for (const auto& [number, handle] : handles_) {
            if (handle.kept != nullptr && handle.kept->opened_by == unique) {
                return number;
            }
        }
        return 0;
    }

    // nullptr: there is none of that number.
    FuseHandle* find(std::uint64_t number) {
        const auto found = handles_.find(number);
        return found == handles_.end() ? nullptr : &found->second;
    }
    // Out of the table before it is destroyed: the end of a view may call back.
    std::optional<FuseHandle> take(std::uint64_t number) {
        auto taken = handles_.extract(number);
        if (!taken) {
            return std::nullopt;
        }
        if (taken.mapped().kept != nullptr) {
            records_.give_back(*taken.mapped().kept);
        }
        return std::optional(std::move(taken.mapped()));
    }
    void clear() { std::exchange(handles_, {}); }

private:
    KeptLayout& layout_;
    KeptTable<KeptHandle, &KeptHandle::number> records_;
    std::unordered_map<std::uint64_t, FuseHandle> handles_;
};

}  // namespace drivebay
