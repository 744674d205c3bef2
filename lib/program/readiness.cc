#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "lib/base/log_sink.h"
#include "lib/program/daemon.h"

namespace drivebay::program {
namespace {

// The notification protocol of sd_notify(3): one datagram of KEY=value lines to $NOTIFY_SOCKET.
void notify_systemd(const std::string& message) {
    const char* const path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) < 2 || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    std::strcpy(address.sun_path, path);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';  // the abstract name space
    }
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    (void)::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace

void Readiness::ready(const std::string& text) {
    notify_systemd("READY=1\nSTATUS=" + text);
    if (parent_) {
        if (outlives_) {
            log::outlive_starter();
        }
        (void)!::write(parent_.get(), "r", 1);
        parent_.reset();
    }
}

void Readiness::status(const std::string& text) { notify_systemd("STATUS=" + text); }

}  // namespace drivebay::program
