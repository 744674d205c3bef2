#include "fusefs/engine/drive_scheduler.h"

#include <utility>

#include "fusefs/engine/admitted_view.h"

namespace drivebay {

void DriveScheduler::submit(FairQueue::Place& place, IoRequest& request) {
    queue_.add(place, request);
    pump();
}

IoRequest* DriveScheduler::finished(FairQueue::Place& place, IoRequest& request, int& error) {
    queue_.leave(place, FairQueue::cost(request));
    IoRequest* asked = &request;
    if (request.whole != nullptr) {
        asked = request.whole;
        request.next = std::exchange(free_pieces_, &request);
        if (asked->pieces_error == 0) {
            asked->pieces_error = error;
        }
        error = asked->pieces_error;
        asked = --asked->pieces == 0 && asked->taken == asked->length ? asked : nullptr;
    }
    if (!queue_.idle()) {
        pump();
    }
    return asked;
}

IoRequest* DriveScheduler::clear(FairQueue::Place& place, int error) {
    IoRequest* const first = queue_.clear(place);
    if (first == nullptr || first->pieces == 0) {
        return first;
    }
    first->taken = first->length;
    first->pieces_error = error;
    return std::exchange(first->next, nullptr);
}

IoRequest& DriveScheduler::piece_of(const FairQueue::Turn& turn) {
    if (free_pieces_ == nullptr) {
        pieces_.push_back(std::make_unique<IoRequest>());
        free_pieces_ = pieces_.back().get();
    }
    IoRequest& piece = *std::exchange(free_pieces_, free_pieces_->next);
    IoRequest& whole = *turn.request;
    piece = {};
    piece.whole = &whole;
    piece.operation = whole.operation;
    piece.fua = whole.fua;
    piece.offset = whole.offset + turn.begin;
    piece.length = turn.length;
    piece.data = whole.data + turn.begin;
    piece.context = whole.context;
    ++whole.pieces;
    return piece;
}

void DriveScheduler::pump() {
    if (std::exchange(pumping_, true)) {
        return;  // from inside a go(): the loop below goes on
    }
    const Instant now = queue_.has_rates() ? BootClock::now() : Instant{};
    while (const std::optional<FairQueue::Turn> turn = queue_.take(now)) {
        IoRequest& request = turn->is_whole() ? *turn->request : piece_of(*turn);
        static_cast<AdmittedView*>(request.context)->go(request);
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
