#include "fusefs/engine/drive_scheduler.h"

#include <utility>

#include "fusefs/engine/admitted_view.h"

namespace drivebay {

void DriveScheduler::submit(FairQueue::Place& place, IoRequest& request) {
    queue_.add(place, request);
    pump();
}

void DriveScheduler::finished(const IoRequest& request) {
    queue_.leave(FairQueue::cost(request));
    if (!queue_.idle()) {
        pump();
    }
}

void DriveScheduler::pump() {
    if (std::exchange(pumping_, true)) {
        return;  // from inside a go(): the loop below goes on
    }
    const Instant now = queue_.has_rates() ? BootClock::now() : Instant{};
    while (IoRequest* const request = queue_.take(now)) {
        static_cast<AdmittedView*>(request->context)->go(*request);
    }
    pumping_ = false;
    // With something in flight that leaves no room, its completion pumps again.
    if (const std::optional<Instant> due = queue_.next_due(); due && *due > now && timer_ == 0) {
        timer_ = loop_.call_at(*due, [this] {
            timer_ = 0;
            pump();
        });
    }
}

}  // namespace drivebay
