// Whose request goes to a drive next, when more are asked for than it shall have in flight: deficit round robin
// (Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin", 1995) over the views of the drive, in
// bytes, so that one greedy blade has its share and no more; and, for a view with a rate, not before its time.
// No I/O, no clock and no thread inside.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "fusefs/engine/drive.h"
#include "lib/base/clock.h"

namespace drivebay {

class FairQueue {
public:
    // In flight at a time; one request goes however large it is.
    struct Limits {
        std::size_t requests = 128;
        std::uint64_t bytes = std::uint64_t{16} << 20;
        // While more than one place asks: what one has in flight is what the others wait for. Some 3 ms of a disk.
        std::uint64_t shared_bytes = std::uint64_t{2} << 20;
    };

    // Where one view's requests wait, in order. Belongs to the view and stays put.
    class Place {
    public:
        // `bytes_per_second`: 0 is without limit.
        explicit Place(std::uint64_t bytes_per_second = 0) : rate_(bytes_per_second) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;

    private:
        friend class FairQueue;
        const std::uint64_t rate_;
        IoRequest* first_ = nullptr;
        IoRequest* last_ = nullptr;
        std::uint64_t credit_ = 0;  // bytes that it may still send in this turn
        Instant due_{};             // its rate's: not before
        Place* next_ = nullptr;     // in the ring of those that wait
    };

    explicit FairQueue(Limits limits) : limits_(limits) {}

    void add(Place& place, IoRequest& request);
    // The one that goes now, from here on in flight; null: none may. `now` matters to places with a rate.
    IoRequest* take(Instant now);
    // One in flight has completed. `bytes`: what cost() said of it.
    void leave(std::uint64_t bytes);
    // Takes out all that wait in the place: a list by `next`.
    IoRequest* clear(Place& place);

    // When a request may go that only a rate holds back; nothing: there is none, or it may go now.
    std::optional<Instant> next_due() const;
    // Nothing waits.
    bool idle() const { return last_ == nullptr; }
    // One with a rate waits.
    bool has_rates() const { return rated_waiting_ > 0; }

    static std::uint64_t cost(const IoRequest& request) {
        switch (request.operation) {
            case IoOperation::read:
            case IoOperation::write: return request.length;
            case IoOperation::cache: return std::min(request.length, most_cached);
            default: return 0;
        }
    }

    // What a place may send in one turn, and with a rate at once.
    static constexpr std::uint64_t quantum = 256 << 10;

private:
    bool has_room(std::uint64_t bytes) const {
        const std::uint64_t most = gone_ < shared_until_ ? limits_.shared_bytes : limits_.bytes;
        return in_flight_ == 0 || (in_flight_ < limits_.requests && bytes_ + bytes <= most);
    }
    IoRequest& go(Place& place, std::uint64_t bytes, Instant now);
    void drop(Place& previous, Place& place);

    const Limits limits_;
    std::uint64_t gone_ = 0;          // requests, since the beginning
    std::uint64_t shared_until_ = 0;  // as many
    const Place* latest_ = nullptr;   // that a request went from; only compared
    std::size_t in_flight_ = 0;
    std::uint64_t bytes_ = 0;
    std::size_t rated_waiting_ = 0;  // places
    Place* last_ = nullptr;  // of the ring; its next is whose turn it is
};

}  // namespace drivebay
