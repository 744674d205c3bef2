#include "fusefs/engine/range_lock.h"

namespace drivebay {

namespace {

bool conflict(const RangeLock::Entry& one, const RangeLock::Entry& other) {
    return (one.exclusive || other.exclusive) && one.begin < other.end && other.begin < one.end;
}

}  // namespace

void RangeLock::List::append(Entry& entry) {
    entry.previous = last;
    entry.next = nullptr;
    (last == nullptr ? first : last->next) = &entry;
    last = &entry;
}

void RangeLock::List::remove(Entry& entry) {
    (entry.previous == nullptr ? first : entry.previous->next) = entry.next;
    (entry.next == nullptr ? last : entry.next->previous) = entry.previous;
    entry.previous = entry.next = nullptr;
}

bool RangeLock::blocked(const Entry& entry, const Entry* limit) const {
    for (const Entry* waiting = waiting_.first; waiting != limit; waiting = waiting->next) {
        if (conflict(entry, *waiting)) {
            return true;
        }
    }
    if (!entry.exclusive && exclusive_held_ == 0) {
        return false;  // the usual case: no list is walked
    }
    for (const Entry* held = held_.first; held != nullptr; held = held->next) {
        if (conflict(entry, *held)) {
            return true;
        }
    }
    return false;
}

void RangeLock::hold(Entry& entry) {
    held_.append(entry);
    exclusive_held_ += entry.exclusive ? 1 : 0;
}

bool RangeLock::enter(Entry& entry) {
    if (blocked(entry, nullptr)) {
        waiting_.append(entry);
        return false;
    }
    hold(entry);
    return true;
}

void RangeLock::leave(Entry& entry, std::vector<Entry*>& now_held) {
    held_.remove(entry);
    exclusive_held_ -= entry.exclusive ? 1 : 0;
    for (Entry* waiting = waiting_.first; waiting != nullptr;) {
        Entry* const next = waiting->next;
        // Whatever else holds it up still does: with thousands waiting they are not all compared with each other.
        if (conflict(*waiting, entry) && !blocked(*waiting, waiting)) {
            waiting_.remove(*waiting);
            hold(*waiting);
            now_held.push_back(waiting);
        }
        waiting = next;
    }
}

}  // namespace drivebay
