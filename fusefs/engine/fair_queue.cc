#include "fusefs/engine/fair_queue.h"

#include <algorithm>
#include <utility>

namespace drivebay {

namespace {

// A drive counts as shared until so many requests in a row came from one place.
constexpr std::uint64_t shared_for = 1024;

}  // namespace

void FairQueue::add(Place& place, IoRequest& request) {
    request.next = nullptr;
    if (place.first_ != nullptr) {
        place.last_->next = &request;
        place.last_ = &request;
        return;
    }
    place.first_ = place.last_ = &request;
    place.credit_ = quantum;
    rated_waiting_ += place.rate_ != 0 ? 1 : 0;
    if (last_ == nullptr) {
        place.next_ = &place;
    } else {
        place.next_ = std::exchange(last_->next_, &place);
    }
    last_ = &place;
}

IoRequest* FairQueue::take(Instant now) {
    if (last_ == nullptr) {
        return nullptr;
    }
    const Place* round_end = last_;
    bool any_in_time = false;
    while (true) {
        Place& place = *last_->next_;
        const std::uint64_t bytes = cost(*place.first_);
        const bool in_time = place.rate_ == 0 || place.due_ <= now;
        if (in_time && bytes <= place.credit_) {
            // A large one whose turn it is waits until there is room: or small ones would slip by for ever.
            return has_room(bytes) ? &go(place, bytes, now) : nullptr;
        }
        if (in_time) {
            any_in_time = true;
            place.credit_ += quantum;
        }
        last_ = &place;
        if (&place == round_end && !std::exchange(any_in_time, false)) {
            return nullptr;
        }
    }
}

IoRequest& FairQueue::go(Place& place, std::uint64_t bytes, Instant now) {
    place.credit_ -= bytes;
    if (place.rate_ != 0) {
        const auto time_of = [&](std::uint64_t count) { return Duration(count * 1'000'000'000 / place.rate_); };
        place.due_ = std::max(place.due_, now - time_of(quantum)) + time_of(bytes);
    }
    ++gone_;
    if (std::exchange(latest_, &place) != &place) {
        shared_until_ = gone_ + shared_for;
    }
    ++in_flight_;
    bytes_ += bytes;
    IoRequest& request = *std::exchange(place.first_, place.first_->next);
    request.next = nullptr;
    if (place.first_ == nullptr) {
        drop(*last_, place);
    }
    return request;
}

void FairQueue::drop(Place& previous, Place& place) {
    place.last_ = nullptr;
    rated_waiting_ -= place.rate_ != 0 ? 1 : 0;
    if (&previous == &place) {
        last_ = nullptr;
    } else {
        previous.next_ = place.next_;
        last_ = last_ == &place ? &previous : last_;
    }
    place.next_ = nullptr;
}

void FairQueue::leave(std::uint64_t bytes) {
    --in_flight_;
    bytes_ -= bytes;
}

IoRequest* FairQueue::clear(Place& place) {
    if (place.first_ == nullptr) {
        return nullptr;
    }
    IoRequest* const all = std::exchange(place.first_, nullptr);
    Place* previous = last_;
    while (previous->next_ != &place) {
        previous = previous->next_;
    }
    drop(*previous, place);
    return all;
}

std::optional<Instant> FairQueue::next_due() const {
    std::optional<Instant> first;
    if (last_ == nullptr) {
        return first;
    }
    const Place* place = last_;
    do {
        place = place->next_;
        if (place->rate_ == 0) {
            return std::nullopt;  // what it waits for is room
        }
        first = std::min(first.value_or(place->due_), place->due_);
    } while (place != last_);
    return first;
}

}  // namespace drivebay
