// Which writes of a drive may be in flight together. Plain ones always may; one that reads, changes and writes back
// whole blocks, or that is done in several steps, excludes everything it overlaps. First come, first served.
// No I/O and no thread inside.
#pragma once

#include <cstdint>
#include <vector>

namespace drivebay {

class RangeLock {
public:
    // Belongs to the caller and stays put from enter() to leave().
    struct Entry {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;  // one past the last byte
        bool exclusive = false;
        void* owner = nullptr;
        Entry* previous = nullptr;
        Entry* next = nullptr;
    };

    // True: held. False: it waits, and some leave() will hand it out.
    bool enter(Entry& entry);
    // Ends a held one; appends to `now_held` those that waited and hold now, in order.
    void leave(Entry& entry, std::vector<Entry*>& now_held);

    bool idle() const { return held_.first == nullptr && waiting_.first == nullptr; }

private:
    struct List {
        Entry* first = nullptr;
        Entry* last = nullptr;
        void append(Entry& entry);
        void remove(Entry& entry);
    };
    // `limit`: the first of the waiting that does not count any more; null: all count.
    bool blocked(const Entry& entry, const Entry* limit) const;
    void hold(Entry& entry);

    List held_;
    List waiting_;
    std::uint64_t exclusive_held_ = 0;
};

}  // namespace drivebay
