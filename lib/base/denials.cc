#include "lib/base/denials.h"

#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/base/shortened.h"

namespace drivebay {

namespace {

constexpr std::size_t longest_question = 200;
constexpr std::size_t longest_reason = 500;

}  // namespace

void Denials::note(Denial denial) {
    const Instant now = BootClock::now();
    if (now >= since_ + within) {
        since_ = now;
        noted_ = 0;
        kinds_.clear();
    }
    for (std::string* text : {&denial.peer, &denial.identity, &denial.asked}) {
        *text = shortened(std::move(*text), longest_question);
    }
    denial.reason = shortened(std::move(denial.reason), longest_reason);
    const bool is_new = kinds_.size() < most_kinds && kinds_.insert(denial.identity + " " + denial.reason).second;
    if (++noted_ <= most || is_new) {
        tell(std::move(denial));
        return;
    }
    last_unnoted_ = std::move(denial);
    if (++unnoted_ == 1 && call_after_) {
        call_after_(since_ + within - now);
    }
}

void Denials::tell_rest() {
    if (unnoted_ > 0) {
        --unnoted_;
        tell(std::move(last_unnoted_));
    }
}

void Denials::tell(Denial denial) {
    if (const std::uint64_t more = std::exchange(unnoted_, 0); more > 0) {
        denial.reason += fmt::format("; {} more were denied before, too fast to be told", more);
    }
    log::notice("denied", {{"peer", denial.peer}, {"identity", denial.identity}, {"asked", denial.asked}, {"reason", denial.reason}});
    if (tell_) {
        tell_(denial);
    }
}

}  // namespace drivebay
