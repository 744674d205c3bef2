#include "fusefs/nbd_client/pause_limit.h"

namespace drivebay {

void PauseLimit::waiting(Instant now) {
    if (!silent_since_) {
        silent_since_ = now;
    }
}

void PauseLimit::waiting_since(Instant asked, Instant now) {
    waiting(now);
    if (now - asked >= threshold_) {
        pause_began_ = std::min(asked, pause_began());
        stall_ended_ = now;
    }
}

void PauseLimit::given_up() {
    silent_since_.reset();
    pause_began_.reset();
}

Instant PauseLimit::pause_began() const {
    const bool goes_on = pause_began_ && *silent_since_ - stall_ended_ < quiet;
    return goes_on ? *pause_began_ : *silent_since_;
}

void PauseLimit::heard(Instant now, bool still_waiting) {
    if (stalled(now)) {
        pause_began_ = pause_began();
        stall_ended_ = now;
    }
    silent_since_ = still_waiting ? std::optional(now) : std::nullopt;
}

std::optional<Instant> PauseLimit::stalls_at() const {
    return silent_since_ ? std::optional(*silent_since_ + threshold_) : std::nullopt;
}

std::optional<Instant> PauseLimit::over_at() const {
    return silent_since_ ? std::optional(std::max(*silent_since_ + threshold_, pause_began() + limit_)) : std::nullopt;
}

bool PauseLimit::stalled(Instant now) const {
    const std::optional<Instant> at = stalls_at();
    return at && now >= *at;
}

bool PauseLimit::over(Instant now) const {
    const std::optional<Instant> at = over_at();
    return at && now >= *at;
}

}  // namespace drivebay
