#include "fusefs/nbd_client/unanswered_requests.h"

#include <algorithm>
#include <utility>

#include "lib/base/planted_bug.h"

namespace drivebay {

UnansweredRequests::Entry::Entry(IoRequest& request, const NbdExport& server) : pieces(request, server) {
    is_write = changes_drive(request.operation);
    const std::uint64_t block = server.minimum_block;
    begin = request.offset / block * block;
    end = (request.offset + request.length + block - 1) / block * block;
}

UnansweredRequests::Entry& UnansweredRequests::add(IoRequest& request, const NbdExport& server) {
    Entry& entry = entries_.emplace_back(request, server);
    entry.self = std::prev(entries_.end());
    entry.awaited = request.awaited && !request.answered_early;
    awaited_ += entry.awaited ? 1 : 0;
    return entry;
}

// Behind earlier writes, sent or not: overtaking one that waits would change the order.
bool UnansweredRequests::must_wait(const Entry& entry) const {
    const bool is_flush = entry.request().operation == IoOperation::flush;
    for (const Entry& earlier : entries_) {
        if (&earlier == &entry) {
            return false;
        }
        if (!earlier.is_write || !(entry.is_write || earlier.request().answered_early)) {
            continue;
        }
        if (is_flush || (earlier.begin < entry.end && entry.begin < earlier.end)) {
            return !planted(PlantedBug::overlapping_writes_in_flight);
        }
    }
    return false;
}

UnansweredRequests::Entry* UnansweredRequests::next_to_send() {
    if (in_flight_ == entries_.size() || in_flight_ >= in_flight_limit_) {
        return nullptr;
    }
    for (Entry& entry : entries_) {
        if (!entry.in_flight && !must_wait(entry)) {
            entry.in_flight = true;
            ++in_flight_;
            return &entry;
        }
    }
    return nullptr;
}

void UnansweredRequests::remove(Entry& entry) {
    in_flight_ -= entry.in_flight ? 1 : 0;
    awaited_ -= entry.awaited ? 1 : 0;
    entries_.erase(entry.self);
}

bool UnansweredRequests::now_awaited(const IoRequest& request) {
    const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) { return &entry.request() == &request; });
    if (found == entries_.end()) {
        return false;
    }
    awaited_ += std::exchange(found->awaited, true) ? 0 : 1;
    return true;
}

void UnansweredRequests::connection_lost() {
    for (Entry& entry : entries_) {
        entry.in_flight = false;
        entry.pieces.restart();
    }
    in_flight_ = 0;
}

UnansweredRequests::Entry* UnansweredRequests::first_to_answer() {
    const auto found = std::ranges::find_if(entries_, [](const Entry& e) { return !e.request().answered_early; });
    return found == entries_.end() ? nullptr : &*found;
}

bool UnansweredRequests::writes_in_flight() const {
    return std::any_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.is_write && e.in_flight; });
}

std::size_t UnansweredRequests::writes() const {
    return static_cast<std::size_t>(
        std::count_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.is_write; }));
}

}  // namespace drivebay
