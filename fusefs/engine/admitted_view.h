// One blade's view of one drive for one admission: the gate before the drive, and the counters. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fusefs/engine/gate.h"
#include "fusefs/engine/view.h"
#include "fusefs/loop/event_loop.h"
#include "lib/protocol/messages.h"

namespace drivebay {

class AdmittedView final : public View {
public:
    // `drive` outlives the view's last I/O: it is closed only after every view of it has drained.
    AdmittedView(EventLoop& loop, Drive& drive, ViewInfo info);
    // Only when nothing is in flight.
    ~AdmittedView() override;

    const ViewInfo& info() const override { return info_; }
    void submit(IoRequest& request) override;
    bool ended() const override { return gate_.closed(); }
    std::uint64_t on_end(std::function<void()> callback) override;
    void forget(std::uint64_t callback_id) override;

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
    void refuse(IoRequest& request, int error);

    EventLoop& loop_;
    Drive& drive_;
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
};

}  // namespace drivebay
