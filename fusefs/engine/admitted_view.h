// One blade's view of one drive for one admission: its place in the drive's queue, the gate, and the counters. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fusefs/engine/drive_scheduler.h"
#include "fusefs/engine/gate.h"
#include "fusefs/engine/view.h"
#include "fusefs/loop/event_loop.h"
#include "lib/protocol/messages.h"

namespace drivebay {

class AdmittedView final : public View {
public:
    // `drive` and its scheduler outlive the view's last I/O: the drive is closed only after every view of it has drained.
    // `bytes_per_second`: at most; 0 is without limit.
    AdmittedView(EventLoop& loop, Drive& drive, DriveScheduler& scheduler, ViewInfo info, std::uint64_t bytes_per_second = 0);
    // Only when nothing is in flight.
    ~AdmittedView() override;

    const ViewInfo& info() const override { return info_; }
    void submit(IoRequest& request) override;
    bool ended() const override { return gate_.closed(); }
    std::uint64_t on_end(std::function<void()> callback) override;
    void forget(std::uint64_t callback_id) override;

    // The scheduler's: the turn of the request, or of a piece of one, has come.
    void go(IoRequest& request);

    // Closes the gate for ever; `drained` runs once nothing is in flight, perhaps from inside the call. A second call
    // does nothing.
    void end(std::function<void()> drained);

    std::uint64_t in_flight() const { return gate_.inside(); }
    protocol::Counters counters() const;

    // Open handles: file handles and NBD connections. Told by whoever hands them out (ManagementCatalogue).
    void handle_opened() {
        ++handles_;
        was_opened_ = true;
    }
    bool was_opened() const { return was_opened_; }
    void handle_closed();
    std::uint64_t handles() const { return handles_; }
    // Runs `callback` once no handle is open: at once if none is.
    void when_unused(std::function<void()> callback);

private:
    void complete(IoRequest& request, int error);
    void answer(IoRequest& request, int error);
    static void give_back(IoRequest& request);
    void refuse(IoRequest& request, int error);

    EventLoop& loop_;
    Drive& drive_;
    DriveScheduler& scheduler_;
    FairQueue::Place place_;
    const ViewInfo info_;
    Gate gate_;
    std::map<std::uint64_t, std::function<void()>> end_callbacks_;
    std::uint64_t last_callback_ = 0;
    std::uint64_t handles_ = 0;
    bool was_opened_ = false;
    std::vector<std::function<void()>> unused_callbacks_;
    std::uint64_t reads_ = 0;
    std::uint64_t read_bytes_ = 0;
    std::uint64_t writes_ = 0;
    std::uint64_t written_bytes_ = 0;
    std::uint64_t errors_ = 0;
};

}  // namespace drivebay
