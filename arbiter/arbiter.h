// The lease core put to work: gives it the time, commits what it decided, then lets it become visible.
// Everything happens on the reactor's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "arbiter/core/lease_core.h"
#include "arbiter/event_log.h"
#include "arbiter/store/store.h"
#include "lib/rpc/reactor.h"

namespace drivebay::arbiter {

// Told of every step that changed anything, after its commit. Must not call apply() from there.
class Audience {
public:
    virtual ~Audience() = default;
    virtual void told(const Actions& actions) = 0;
};

class Arbiter {
public:
    // `state` is as the store has it, term included. `give_up` is called once with a sentence when a commit fails: the
    // state is then ahead of the store, so every later request is refused and the program must end.
    Arbiter(rpc::Reactor& reactor, State state, Store& store, EventLog& events,
            std::function<void(const std::string&)> give_up);

    const State& state() const { return state_; }
    EventLog& events() { return events_; }

    // In the order in which they are told; they must outlive the arbiter's last event.
    void add_audience(Audience& audience) { audience_.push_back(&audience); }
    // The first event; to be called once everybody listens.
    void start();
    Actions apply(Happening what);

private:
    void set_timer();

    State state_;
    Store& store_;
    EventLog& events_;
    std::function<void(const std::string&)> give_up_;
    std::vector<Audience*> audience_;
    rpc::Timer timer_;
    bool given_up_ = false;
};

}  // namespace drivebay::arbiter
