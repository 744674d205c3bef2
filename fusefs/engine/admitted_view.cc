#include "fusefs/engine/admitted_view.h"

#include <cerrno>
#include <utility>

namespace drivebay {

AdmittedView::AdmittedView(EventLoop& loop, Drive& drive, DriveScheduler& scheduler, ViewInfo info,
                           std::uint64_t bytes_per_second)
    : loop_(loop), drive_(drive), scheduler_(scheduler), place_(bytes_per_second), info_(std::move(info)) {}

AdmittedView::~AdmittedView() = default;

void AdmittedView::refuse(IoRequest& request, int error) {
    loop_.at_round_end([&request, error] { request.done(request, error); });
}

void AdmittedView::submit(IoRequest& request) {
    if (changes_drive(request.operation) && info_.admission.mode != Mode::write) {
        return refuse(request, EROFS);
    }
    if (request.operation != IoOperation::flush &&
        (request.offset > info_.geometry.size || request.length > info_.geometry.size - request.offset)) {
        return refuse(request, EINVAL);
    }
    if (gate_.closed()) {
        return refuse(request, ESHUTDOWN);
    }
    request.asker_done = request.done;
    request.asker_context = request.context;
    request.context = this;
    request.taken = request.pieces = 0;
    request.pieces_error = 0;
    request.uncut = request.may_lend && drive_.would_lend(request);
    scheduler_.submit(place_, request);
}

// A closed gate has cleared the place: but for that, this is where a late request would be caught.
void AdmittedView::go(IoRequest& request) {
    if (!gate_.enter()) {
        int error = ESHUTDOWN;
        if (IoRequest* const asked = scheduler_.finished(place_, request, error)) {
            give_back(*asked);
            refuse(*asked, error);
        }
        return;
    }
    request.done = [](IoRequest& passed, int error) { static_cast<AdmittedView*>(passed.context)->complete(passed, error); };
    drive_.submit(request);
}

void AdmittedView::give_back(IoRequest& request) {
    request.done = request.asker_done;
    request.context = request.asker_context;
}

void AdmittedView::complete(IoRequest& request, int error) {
    // The answer first: whoever waits for the drain then finds nothing of this view unanswered here.
    if (IoRequest* const asked = scheduler_.finished(place_, request, error)) {
        answer(*asked, error);
    }
    gate_.leave();
}

void AdmittedView::answer(IoRequest& request, int error) {
    give_back(request);
    if (error == 0) {
        if (request.operation == IoOperation::read) {
            ++reads_;
            read_bytes_ += request.length;
        } else if (changes_drive(request.operation)) {
            ++writes_;
            written_bytes_ += request.length;
        }
    } else if (error != ESHUTDOWN) {
        ++errors_;
    }
    request.done(request, error);
}

std::uint64_t AdmittedView::on_end(std::function<void()> callback) {
    end_callbacks_.emplace(++last_callback_, std::move(callback));
    return last_callback_;
}

void AdmittedView::forget(std::uint64_t callback_id) { end_callbacks_.erase(callback_id); }

void AdmittedView::end(std::function<void()> drained) {
    if (gate_.closed()) {
        return;
    }
    for (IoRequest* waiting = scheduler_.clear(place_, ESHUTDOWN); waiting != nullptr;) {
        IoRequest& request = *std::exchange(waiting, waiting->next);
        give_back(request);
        refuse(request, ESHUTDOWN);
    }
    gate_.close(std::move(drained));
    while (!end_callbacks_.empty()) {
        auto first = end_callbacks_.extract(end_callbacks_.begin());
        first.mapped()();
    }
}

protocol::Counters AdmittedView::counters() const {
    return {info_.admission.drive, info_.admission.blade, reads_, read_bytes_, writes_, written_bytes_, errors_};
}

void AdmittedView::handle_closed() {
    if (--handles_ == 0) {
        for (const std::function<void()>& callback : std::exchange(unused_callbacks_, {})) {
            callback();
        }
    }
}

void AdmittedView::when_unused(std::function<void()> callback) {
    if (handles_ == 0) {
        return callback();
    }
    unused_callbacks_.push_back(std::move(callback));
}

}  // namespace drivebay
