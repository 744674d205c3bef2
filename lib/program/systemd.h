// sd_notify(3)'s protocol, without the library: what a service tells systemd, and the watchdog's beat. Does nothing where
// nobody listens ($NOTIFY_SOCKET is unset).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "lib/base/clock.h"
#include "lib/rpc/reactor.h"

namespace drivebay::program {

// One datagram of KEY=value lines. True: somebody was there to take it.
bool notify_systemd(const std::string& message);

// A sign of life for the watchdog. Never waits: where systemd has not taken the last ones yet, this one is not needed.
void beat_systemd();

// "RELOADING=1" with the time that systemd wants beside it; READY=1 ends it.
bool notify_reloading();

// How often systemd wants to hear from this service; nothing: it does not. Unlike sd_watchdog_enabled(3) this does not ask
// whether $WATCHDOG_PID is this process: it may be this one's parent that systemd knows.
std::optional<Duration> watchdog_limit();

// Beats for as long as it lives, from the reactor's thread: a reactor that hangs is silent, and the service restarted.
class Watchdog {
public:
    // Where systemd asks for it, three times as often as it asks.
    explicit Watchdog(rpc::Reactor& reactor);

    // For somebody else who listens: `beat` each `interval`, if there is one. `look` is called before each, on the reactor's
    // thread, and calls `alive` on that thread when what else has to turn does turn; until then there is no beat, and no
    // second look.
    using Look = std::function<void(std::function<void()> alive)>;
    Watchdog(rpc::Reactor& reactor, std::optional<Duration> interval, Look look, std::function<void()> beat);

private:
    void wait();

    std::optional<Duration> interval_;
    Look look_;
    std::function<void()> beat_;
    rpc::Timer timer_;
};

}  // namespace drivebay::program
