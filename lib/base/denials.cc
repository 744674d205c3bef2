#include "lib/base/denials.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::size_t longest_question = 200;

}  // namespace

void Denials::note(Denial denial) {
    const Instant now = BootClock::now();
    if (now >= since_ + within) {
        since_ = now;
        noted_ = 0;
        kinds_.clear();
    }
    const bool is_new = kinds_.size() < most_kinds && kinds_.insert(denial.identity + " " + denial.reason).second;
    if (++noted_ > most && !is_new) {
        ++unnoted_;
        return;
    }
    denial.asked.resize(std::min(denial.asked.size(), longest_question));
    if (const std::uint64_t more = std::exchange(unnoted_, 0); more > 0) {
        denial.reason += fmt::format("; {} more were denied before, too fast to be told", more);
    }
    log::notice("denied", {{"peer", denial.peer}, {"identity", denial.identity}, {"asked", denial.asked}, {"reason", denial.reason}});
    if (tell_) {
        tell_(denial);
    }
}

}  // namespace drivebay
