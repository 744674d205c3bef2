#include "lib/program/systemd.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "lib/base/fd.h"

namespace drivebay::program {

namespace {

bool send_to_systemd(const std::string& message, int flags) {
    const char* const path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) < 2 || std::strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    std::strcpy(address.sun_path, path);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';  // the abstract name space
    }
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    return ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL | flags,
                    reinterpret_cast<const sockaddr*>(&address), size) == static_cast<ssize_t>(message.size());
}

}  // namespace

bool notify_systemd(const std::string& message) { return send_to_systemd(message, 0); }

void beat_systemd() { send_to_systemd("WATCHDOG=1", MSG_DONTWAIT); }

bool notify_reloading() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return notify_systemd(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

std::optional<Duration> watchdog_limit() {
    const char* const text = std::getenv("WATCHDOG_USEC");
    std::int64_t microseconds = 0;
    if (text == nullptr || std::from_chars(text, text + std::strlen(text), microseconds).ec != std::errc{} ||
        microseconds <= 0) {
        return std::nullopt;
    }
    return std::chrono::microseconds(microseconds);
}

namespace {

std::optional<Duration> watchdog_interval() {
    const std::optional<Duration> limit = watchdog_limit();
    return limit ? std::optional<Duration>(*limit / 3) : std::nullopt;
}

}  // namespace

Watchdog::Watchdog(rpc::Reactor& reactor)
    : Watchdog(
          reactor, watchdog_interval(), [](const auto& alive) { alive(); }, beat_systemd) {}

Watchdog::Watchdog(rpc::Reactor& reactor, std::optional<Duration> interval, Look look, std::function<void()> beat)
    : interval_(interval), look_(std::move(look)), beat_(std::move(beat)), timer_(reactor) {
    if (interval_) {
        wait();
    }
}

void Watchdog::wait() {
    timer_.set(*interval_, [this] {
        look_([this] {
            beat_();
            wait();
        });
    });
}

}  // namespace drivebay::program
