#include "fusefs/keeper/kept_session.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace drivebay {

namespace {

constexpr const char* variable = "DRIVEBAY_KEPT";

UniqueFd own(int fd) {
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? UniqueFd(fd) : UniqueFd();
}

bool make_inheritable(int fd) { return fcntl(fd, F_SETFD, 0) == 0; }

}  // namespace

std::optional<Result<HandedOver>> handed_over() {
    const char* const text = std::getenv(variable);
    if (text == nullptr) {
        return std::nullopt;
    }
    std::istringstream words(text);
    int device = -1;
    int memory = -1;
    int ready = -1;
    HandedOver given;
    words >> device >> memory >> ready >> given.in_background >> given.suspects;
    const bool complete = static_cast<bool>(words);
    words.get();
    std::getline(words, given.session.mount_point);
    unsetenv(variable);
    if (!complete || given.session.mount_point.empty()) {
        return Error{EPROTO, fmt::format("the variable {} is not as a keeper sets it: unset it", variable)};
    }
    given.session.device = own(device);
    given.ready = own(ready);
    UniqueFd kept = own(memory);
    if (!given.session.device || !given.ready || !kept) {
        return Error{EPROTO, fmt::format("the descriptors that the variable {} names are not there: unset it", variable)};
    }
    Result<KeptMemory> mapped = KeptMemory::adopt(std::move(kept));
    if (!mapped) {
        return mapped.error();
    }
    given.session.memory = std::move(*mapped);
    return given;
}

bool hand_over(const KeptSession& session, int ready, bool in_background, bool suspects) {
    const std::string text = fmt::format("{} {} {} {:d} {:d} {}", session.device.get(), session.memory.fd(), ready,
                                         in_background, suspects, session.mount_point);
    return make_inheritable(session.device.get()) && make_inheritable(session.memory.fd()) && make_inheritable(ready) &&
           setenv(variable, text.c_str(), 1) == 0;
}

}  // namespace drivebay
