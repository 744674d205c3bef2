// Every request of one drive that was not answered yet, in the order it came: what is sent again after a reconnect.
// Writes (zeroes and trims too) that overlap are never in flight together, so that repeating one can never undo
// another. A write that its asker takes for done (IoRequest::answered_early) is waited for by whatever comes after it and
// would see that it is not: everything else in its range, and a flush. No input, output or clock in here beyond the
// pieces' arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>

#include "fusefs/nbd_client/nbd_pieces.h"

namespace drivebay {

class UnansweredRequests {
public:
    struct Entry {
        Entry(IoRequest& request, const NbdExport& server);
        IoRequest& request() const { return pieces.request(); }
        NbdPieces pieces;
        bool in_flight = false;
        bool is_write = false;    // write, write_zeroes, trim
        bool awaited = false;     // somebody waits for it
        std::uint64_t begin = 0;  // of what it may touch, whole blocks
        std::uint64_t end = 0;
        bool flushing = false;           // the drive's own: the piece out now is a flush,
        std::uint64_t flush_covers = 0;  // and how many answered writes it covers
        std::list<Entry>::iterator self;
    };

    // At most `in_flight_limit` at once on the wire; the others wait.
    explicit UnansweredRequests(std::size_t in_flight_limit) : in_flight_limit_(in_flight_limit) {}

    // Takes the request's place in the order. The entry stays where it is until remove().
    Entry& add(IoRequest& request, const NbdExport& server);
    // The first in the order that may go out now, marked as in flight; nullptr: none.
    Entry* next_to_send();
    // Answered, or given up.
    void remove(Entry& entry);
    // Somebody waits from now on for what nobody did (IoRequest::awaited). False: it is not among them.
    bool now_awaited(const IoRequest& request);
    // Everything that was in flight waits again, from its beginning.
    void connection_lost();

    bool empty() const { return entries_.empty(); }
    // Somebody waits for one of them.
    bool awaited() const { return awaited_ > 0; }
    std::size_t in_flight() const { return in_flight_; }
    std::size_t size() const { return entries_.size(); }
    // A write that a server may have seen: in flight, unanswered.
    bool writes_in_flight() const;
    std::size_t writes() const;
    Entry* first() { return entries_.empty() ? nullptr : &entries_.front(); }
    // The first that was not answered early.
    Entry* first_to_answer();

private:
    bool must_wait(const Entry& entry) const;

    const std::size_t in_flight_limit_;
    std::size_t in_flight_ = 0;
    std::size_t awaited_ = 0;
    std::list<Entry> entries_;
};

}  // namespace drivebay
