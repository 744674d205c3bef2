// The one point where a fence holds: each I/O enters at submission and leaves at completion; once the gate is closed
// nothing enters, and when nothing is inside any more, nothing of the epoch can reach the drive.
//
// Why it is safe with several loops submitting through one gate: enter() first counts itself in and *then* looks whether
// the gate is closed; close() first closes and *then* looks at the count. Both pairs are sequentially consistent, so of
// an enter() and a close() that meet, at least one sees the other: either the I/O is refused, or the close waits for it.
// The other order (look, then count) would let an I/O pass between the closer's look at the count and its own. This is
// the reasoning of Dekker's mutual exclusion; acquire/release alone would allow both loads to miss both stores.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "lib/base/planted_bug.h"

namespace drivebay {

class Gate {
public:
    // True: inside, and leave() is owed. Any thread.
    bool enter() {
        if (planted(PlantedBug::gate_checks_before_it_counts)) {
            return !closed();
        }
        inside_.fetch_add(1, std::memory_order_seq_cst);
        if (closed_.load(std::memory_order_seq_cst)) [[unlikely]] {
            leave();
            return false;
        }
        return true;
    }

#ifdef DRIVEBAY_WITH_PLANTED_BUGS
    // With that bug: what enter() left for later.
    void count_late() { inside_.fetch_add(1, std::memory_order_seq_cst); }
#endif

    // Any thread. The last to leave a closed gate runs the closer's callback, on its own thread.
    void leave() {
        if (inside_.fetch_sub(1, std::memory_order_seq_cst) == 1 && closed_.load(std::memory_order_seq_cst))
            [[unlikely]] {
            report_drained();
        }
    }

    // Closes for ever. `drained` runs once, when nothing is inside: perhaps from inside this call. To be called once.
    void close(std::function<void()> drained) {
        drained_ = std::move(drained);
        // The closer itself counts as inside while it closes: whoever leaves last, it or an I/O, finds drained_ set.
        inside_.fetch_add(1, std::memory_order_seq_cst);
        closed_.store(true, std::memory_order_seq_cst);
        if (planted(PlantedBug::gate_reports_drained_at_once)) {
            report_drained();
        }
        leave();
    }

    bool closed() const { return closed_.load(std::memory_order_seq_cst); }
    // For reports: an I/O about to be refused counts for a moment.
    std::uint64_t inside() const { return inside_.load(std::memory_order_relaxed); }

private:
    void report_drained() {
        // Refused enter()s make the count reach zero again: only the first time counts.
        if (!reported_.exchange(true, std::memory_order_acq_rel)) {
            drained_();
        }
    }

    std::atomic<std::uint64_t> inside_{0};
    std::atomic<bool> closed_{false};
    std::atomic<bool> reported_{false};
    std::function<void()> drained_;
};

}  // namespace drivebay
