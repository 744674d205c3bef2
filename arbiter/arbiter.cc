#include "arbiter/arbiter.h"

#include <algorithm>

namespace drivebay::arbiter {

Arbiter::Arbiter(rpc::Reactor& reactor, State state, Store& store, EventLog& events,
                 std::function<void(const std::string&)> give_up)
    : state_(std::move(state)), store_(store), events_(events), give_up_(std::move(give_up)), timer_(reactor) {}

void Arbiter::start() {
    apply(Started{});
}

Actions Arbiter::apply(Happening what) {
    Actions actions;
    if (given_up_) {
        actions.refusal = Refusal{503, "the arbiter could not write its store and is ending; its log says why"};
        return actions;
    }
    // A renewal moves one deadline to later, so the timer that is set still comes in time.
    const bool renewal = std::holds_alternative<BladeRenewed>(what);
    actions = step(state_, Event{BootClock::now(), std::move(what)});
    if (!actions.changes.empty()) {
        if (const Status committed = store_.commit(state_, actions.changes); !committed) {
            given_up_ = true;
            give_up_(committed.error().message);
            actions = Actions{};
            actions.refusal = Refusal{503, "the arbiter could not write its store: " + committed.error().message};
            return actions;
        }
    }
    for (const AuditEntry& entry : actions.audit) {
        events_.append(entry);
    }
    for (Audience* audience : audience_) {
        audience->told(actions);
    }
    if (!renewal) {
        set_timer();
    }
    return actions;
}

void Arbiter::set_timer() {
    const auto deadline = next_deadline(state_);
    if (!deadline) {
        timer_.cancel();
        return;
    }
    timer_.set(std::max(*deadline - BootClock::now(), Duration::zero()), [this] { apply(Tick{}); });
}

}  // namespace drivebay::arbiter
