// Whose request goes to a drive next, when more are asked for than it shall have in flight: deficit round robin
// (Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin", 1995) over the views of the drive, in
// what they cost it, so that one greedy blade has its share and no more; and, for a view with a rate, not before its time.
// A long read or write goes in pieces, so that the others wait for a piece of it at most. No I/O, no clock and no thread
// inside.
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
    // In flight at a time; one piece goes however large it is.
    struct Limits {
        std::size_t requests = 128;
        std::uint64_t bytes = std::uint64_t{16} << 20;
        std::uint32_t piece = std::uint32_t{1} << 20;
        // Of each place, while more than one asks: what it has in flight is what the others wait for.
        std::size_t shared_requests = 16;
        std::uint64_t shared_bytes = std::uint64_t{128} << 10;
        std::uint32_t shared_piece = std::uint32_t{64} << 10;
    };

    // Bytes `begin` to `begin + length` of a request; all of it, where it is not to be cut.
    struct Turn {
        IoRequest* request = nullptr;
        std::uint32_t begin = 0;
        std::uint32_t length = 0;
        bool is_whole() const { return length == request->length; }
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
        std::uint64_t credit_ = 0;  // weight that it may still send in this turn
        std::size_t in_flight_ = 0;
        std::uint64_t bytes_ = 0;   // of those
        Instant due_{};             // its rate's: not before
        Place* next_ = nullptr;     // in the ring of those that wait
    };

    explicit FairQueue(Limits limits) : limits_(limits) {}

    void add(Place& place, IoRequest& request);
    // What goes now, from here on in flight; nothing: none may. `now` matters to places with a rate.
    std::optional<Turn> take(Instant now);
    // A turn's request, or its piece, has completed. `bytes`: what cost() says of that.
    void leave(Place& place, std::uint64_t bytes);
    // Takes out all that wait in the place: a list by `next`. Of the first one pieces may have gone.
    IoRequest* clear(Place& place);

    // When a request may go that only a rate holds back; nothing: there is none, or it may go now.
    std::optional<Instant> next_due() const;
    // Nothing waits.
    bool idle() const { return last_ == nullptr; }
    // One with a rate waits.
    bool has_rates() const { return rated_waiting_ > 0; }

    // Bytes of data that are moved.
    static std::uint64_t cost(const IoRequest& request) { return cost(request.operation, request.length); }

    // What a place may send in one turn, and with a rate at once.
    static constexpr std::uint64_t quantum = 256 << 10;

private:
    static std::uint64_t cost(IoOperation operation, std::uint32_t length) {
        switch (operation) {
            case IoOperation::read:
            case IoOperation::write: return length;
            case IoOperation::cache: return std::min(length, most_cached);
            default: return 0;
        }
    }
    // The drive's time, in the bytes that it could have moved in that time: or tiny requests, and those that move nothing,
    // would be had for nothing.
    static std::uint64_t weight(IoOperation operation, std::uint32_t length) {
        constexpr std::uint64_t of_any = 16 << 10;
        constexpr std::uint64_t of_a_change_of_blocks = 128 << 10;  // or of waiting for what was written
        switch (operation) {
            case IoOperation::write_zeroes:
            case IoOperation::trim:
            case IoOperation::flush: return of_a_change_of_blocks;
            default: return of_any + cost(operation, length);
        }
    }
    bool is_shared() const { return gone_ < shared_until_; }
    bool has_room(std::uint64_t bytes) const {
        return in_flight_ == 0 || (in_flight_ < limits_.requests && bytes_ + bytes <= limits_.bytes);
    }
    bool has_its_share(const Place& place, std::uint64_t bytes) const {
        return is_shared() && place.in_flight_ > 0 &&
               (place.in_flight_ >= limits_.shared_requests || place.bytes_ + bytes > limits_.shared_bytes);
    }
    std::uint32_t piece_of(const IoRequest& request) const;
    Turn go(Place& place, std::uint32_t length, Instant now);
    void drop(Place& previous, Place& place);

    const Limits limits_;
    std::uint64_t gone_ = 0;          // turns, since the beginning
    std::uint64_t shared_until_ = 0;  // as many
    const Place* latest_ = nullptr;   // whose turn was the last; only compared
    std::size_t in_flight_ = 0;
    std::uint64_t bytes_ = 0;
    std::size_t rated_waiting_ = 0;  // places
    Place* last_ = nullptr;  // of the ring; its next is whose turn it is
};

}  // namespace drivebay
