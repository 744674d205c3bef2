// A drive in memory, and a catalogue with one view of it: `blade01/x`, epoch 7. For tests of the NBD server that need
// neither files nor held requests.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/admitted_view.h"
#include "fusefs/loop/event_loop.h"

namespace drivebay {

class MemoryDrive final : public Drive {
public:
    static constexpr std::uint64_t block = 4096;

    MemoryDrive(EventLoop& loop, std::size_t size) : loop_(loop), medium(size) {}
    DriveGeometry geometry() const override { return {medium.size(), 512, false, false}; }
    void submit(IoRequest& request) override {
        seen.push_back(request.operation);
        waiting_.push_back(&request);
        if (!held_) {
            loop_.at_round_end([this] { complete_all(); });
        }
    }
    void close(std::function<void()> closed) override { loop_.at_round_end(std::move(closed)); }
    std::string failure() const override { return ""; }

    // While held nothing is completed.
    void hold(bool held) {
        held_ = held;
        complete_all();
    }
    std::size_t in_flight() const { return waiting_.size(); }

private:
    EventLoop& loop_;
    std::deque<IoRequest*> waiting_;
    bool held_ = false;

    void complete_all() {
        while (!held_ && !waiting_.empty()) {
            IoRequest& request = *waiting_.front();
            waiting_.pop_front();
            request.done(request, perform(request));
        }
    }

    int perform(IoRequest& request) {
        if (error != 0) {
            return error;
        }
        if (request.operation != IoOperation::flush &&
            (request.offset > medium.size() || request.length > medium.size() - request.offset)) {
            outside = true;
            return EINVAL;
        }
        std::byte* const place = medium.data() + request.offset;
        switch (request.operation) {
            case IoOperation::read: std::memcpy(request.data, place, request.length); break;
            case IoOperation::write: std::memcpy(place, request.data, request.length); break;
            case IoOperation::write_zeroes: std::memset(place, 0, request.length); break;
            case IoOperation::block_status: list_extents(request); break;
            case IoOperation::flush:
            case IoOperation::trim:
            case IoOperation::cache: break;
        }
        return 0;
    }

    // Blocks of zeroes are holes; up to the limit.
    void list_extents(IoRequest& request) {
        const std::uint64_t end = request.offset + request.length;
        std::vector<Extent>& found = request.extents->found;
        for (std::uint64_t at = request.offset; at < end;) {
            const std::uint64_t next = std::min(end, at / block * block + block);
            const bool zero = std::all_of(medium.begin() + static_cast<std::ptrdiff_t>(at / block * block),
                                          medium.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                                               at / block * block + block, medium.size())),
                                          [](std::byte b) { return b == std::byte{0}; });
            if (found.empty() || found.back().zero != zero) {
                if (found.size() == request.extents->limit) {
                    return;
                }
                found.push_back({0, zero, zero});
            }
            found.back().length += next - at;
            at = next;
        }
    }

public:
    std::vector<std::byte> medium;
    std::vector<IoOperation> seen;
    int error = 0;         // of every request
    bool outside = false;  // something was asked of it that lies outside
};

class OneView final : public Catalogue {
public:
    OneView(EventLoop& loop, Drive& drive, Mode mode) : scheduler_(loop, {}) {
        ViewInfo info;
        info.admission = {"x", "blade01", mode, 7};
        info.geometry = drive.geometry();
        info.description = "drivebay boot=b epoch=7 kind=disk";
        view = std::make_shared<AdmittedView>(loop, drive, scheduler_, std::move(info));
    }
    void list_blades(std::function<void(std::vector<std::string>)> callback) override { callback({"blade01"}); }
    void list(const std::string&, std::function<void(Result<std::vector<ViewInfo>>)> callback) override {
        callback(std::vector<ViewInfo>{view->info()});
    }
    void look_up(const std::string& blade, const DriveReference& name,
                 std::function<void(Result<ViewInfo>)> callback) override {
        callback(fits(blade, name) ? Result<ViewInfo>(view->info()) : Result<ViewInfo>(Error{ENOENT, "no"}));
    }
    void open(const std::string& blade, const DriveReference& name, Mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override {
        ++opened;
        if (fits(blade, name)) {
            return callback(std::shared_ptr<View>(view));
        }
        callback(Error{ENOENT, "no"});
    }

private:
    DriveScheduler scheduler_;

public:
    std::shared_ptr<AdmittedView> view;
    int opened = 0;  // asked for, at least

private:
    bool fits(const std::string& blade, const DriveReference& name) const {
        return blade == "blade01" && name.drive == "x" && (name.epoch == 0 || name.epoch == 7) && !view->ended();
    }
};

}  // namespace drivebay
