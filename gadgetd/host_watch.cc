#include "gadgetd/host_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "lib/base/fd.h"
#include "lib/base/log.h"

namespace drivebay::gadgetd {

bool HostStates::is_reset(const std::string& state) {
    if (state == "suspended") {
        suspended_ = used_;
        return false;
    }
    const bool woken = suspended_ && state == "configured";
    const bool reset = used_ && !woken;
    used_ = state == "configured";
    suspended_ = false;
    return reset;
}

struct HostWatch::Shared {
    UniqueFd file;
    UniqueFd end;
    std::mutex mutex;
    rpc::Reactor* reactor = nullptr;  // null: the owner is gone
    std::function<void()> on_reset;

    // Reading it all arms the next announcement (fs/kernfs/file.c, kernfs_fop_poll()).
    std::optional<std::string> read() const {
        std::array<char, 64> text{};
        const ssize_t got = pread(file.get(), text.data(), text.size(), 0);
        if (got < 0) {
            return std::nullopt;
        }
        std::string state(text.data(), static_cast<std::size_t>(got));
        return state.substr(0, state.find('\n'));
    }

    static void run(const std::shared_ptr<Shared>& shared, bool in_use);
};

void HostWatch::Shared::run(const std::shared_ptr<Shared>& shared, bool in_use) {
    HostStates states;
    for (std::optional<std::string> state = shared->read(); state; state = shared->read()) {
        if (std::exchange(in_use, true) && states.is_reset(*state)) {
            std::lock_guard lock(shared->mutex);
            if (shared->reactor != nullptr) {
                shared->reactor->post([shared] {
                    if (shared->reactor != nullptr) {  // only that thread clears it
                        shared->on_reset();
                    }
                });
            }
        }
        std::array<pollfd, 2> waiting{pollfd{shared->file.get(), POLLPRI | POLLERR, 0},
                                      pollfd{shared->end.get(), POLLIN, 0}};
        while (poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
        }
        if (waiting[1].revents != 0) {
            return;
        }
    }
    log::warning("the USB device controller is gone: resets by the host are not noticed any more");
}

HostWatch::HostWatch(rpc::Reactor& reactor, const std::string& state_file, bool in_use, std::function<void()> on_reset)
    : shared_(std::make_shared<Shared>()) {
    shared_->file = UniqueFd(open(state_file.c_str(), O_RDONLY | O_CLOEXEC));
    shared_->end = UniqueFd(eventfd(0, EFD_CLOEXEC));
    shared_->reactor = &reactor;
    shared_->on_reset = std::move(on_reset);
    if (!shared_->file || !shared_->end) {
        log::warning("resets by the host are not noticed", {{"file", state_file}, {"error", errno}});
        return;
    }
    std::thread([shared = shared_, in_use] {
        pthread_setname_np(pthread_self(), "host-watch");
        Shared::run(shared, in_use);
    }).detach();
}

HostWatch::~HostWatch() {
    {
        std::lock_guard lock(shared_->mutex);
        shared_->reactor = nullptr;
    }
    const std::uint64_t one = 1;
    if (shared_->end && write(shared_->end.get(), &one, sizeof one) < 0) {
        log::debug("the thread that watches the host could not be told to end");
    }
}

}  // namespace drivebay::gadgetd
