#include "fusefs/engine/fair_queue.h"

#include <algorithm>
#include <utility>

namespace drivebay {

namespace {

// A drive counts as shared until so many turns in a row were one place's.
constexpr std::uint64_t shared_for = 1024;
// Pieces end where a block does, of whatever size.
constexpr std::uint64_t block = 4096;

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

std::uint32_t FairQueue::piece_of(const IoRequest& request) const {
    const std::uint32_t left = request.length - request.taken;
    const bool cut = !request.uncut && (request.operation == IoOperation::read || request.operation == IoOperation::write);
    const std::uint32_t most = is_shared() ? limits_.shared_piece : limits_.piece;
    return !cut || left <= most ? left : most - static_cast<std::uint32_t>((request.offset + request.taken) % block);
}

std::optional<FairQueue::Turn> FairQueue::take(Instant now) {
    if (last_ == nullptr) {
        return std::nullopt;
    }
    const Place* round_end = last_;
    bool any_may = false;
    while (true) {
        Place& place = *last_->next_;
        const IoOperation operation = place.first_->operation;
        const std::uint32_t length = piece_of(*place.first_);
        const bool may = (place.rate_ == 0 || place.due_ <= now) && !has_its_share(place, cost(operation, length));
        if (may && weight(operation, length) <= place.credit_) {
            // A large one whose turn it is waits until there is room: or small ones would slip by for ever.
            return has_room(cost(operation, length)) ? std::optional(go(place, length, now)) : std::nullopt;
        }
        if (may) {
            any_may = true;
            place.credit_ += quantum;
        }
        last_ = &place;
        if (&place == round_end && !std::exchange(any_may, false)) {
            return std::nullopt;
        }
    }
}

FairQueue::Turn FairQueue::go(Place& place, std::uint32_t length, Instant now) {
    IoRequest& request = *place.first_;
    const std::uint64_t bytes = cost(request.operation, length);
    place.credit_ -= weight(request.operation, length);
    if (place.rate_ != 0) {
        const auto time_of = [&](std::uint64_t count) { return Duration(count * 1'000'000'000 / place.rate_); };
        place.due_ = std::max(place.due_, now - time_of(quantum)) + time_of(bytes);
    }
    ++gone_;
    if (const Place* const before = std::exchange(latest_, &place); before != nullptr && before != &place) {
        shared_until_ = gone_ + shared_for;
    }
    ++in_flight_;
    ++place.in_flight_;
    bytes_ += bytes;
    place.bytes_ += bytes;
    const Turn turn{&request, request.taken, length};
    request.taken += length;
    if (request.taken == request.length) {
        place.first_ = std::exchange(request.next, nullptr);
        if (place.first_ == nullptr) {
            drop(*last_, place);
        }
    }
    return turn;
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

void FairQueue::leave(Place& place, std::uint64_t bytes) {
    --in_flight_;
    --place.in_flight_;
    bytes_ -= bytes;
    place.bytes_ -= bytes;
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
