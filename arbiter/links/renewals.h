// A link's renewals whose answers the blade has not yet said to have heard. A session lives from a renewal whose answer
// was heard: one that speaks and hears nothing (a link that is cut in one direction) expires like one that is silent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "lib/base/clock.h"

namespace drivebay::arbiter {

class Renewals {
public:
    void received(std::uint64_t seq, Instant at) {
        unheard_.push_back({seq, at});
        if (unheard_.size() > most_unheard) {
            unheard_.pop_front();
        }
    }

    // When the renewal was received; nothing: no answer to such a one is outstanding.
    std::optional<Instant> heard(std::uint64_t seq) {
        while (!unheard_.empty()) {
            const Renewal oldest = unheard_.front();
            if (oldest.seq > seq) {
                return std::nullopt;
            }
            unheard_.pop_front();
            if (oldest.seq == seq) {
                return oldest.at;
            }
        }
        return std::nullopt;
    }

private:
    // A blade renews three times in a session's life: with more outstanding none of them could prolong it any more.
    static constexpr std::size_t most_unheard = 8;

    struct Renewal {
        std::uint64_t seq = 0;
        Instant at;
    };
    std::deque<Renewal> unheard_;
};

}  // namespace drivebay::arbiter
