// The control plane's single-threaded loop: a narrow door to Boost.Asio, so that only lib/rpc compiles it.
#pragma once

#include <functional>
#include <memory>

#include "lib/base/clock.h"

namespace drivebay::rpc {

class Reactor {
public:
    struct Impl;  // holds the boost::asio::io_context; for lib/rpc alone

    Reactor();
    ~Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    // Runs callbacks on the calling thread until stop(); may be called again after that.
    void run();
    // May be called from any thread.
    void stop();
    // Runs `work` soon, on the thread inside run(). May be called from any thread.
    void post(std::function<void()> work);
    // Calls `handler` once when SIGINT or SIGTERM arrives, and `reload` at each SIGHUP.
    void on_signals(std::function<void(int signal)> handler, std::function<void()> reload);

    Impl& impl() { return *impl_; }

private:
    std::unique_ptr<Impl> impl_;
};

// A one-shot timer on a reactor's thread. Setting it again, cancelling or destroying it drops what was
// set before: a callback never runs after that.
class Timer {
public:
    explicit Timer(Reactor& reactor);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void set(Duration delay, std::function<void()> callback);
    void cancel();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace drivebay::rpc
