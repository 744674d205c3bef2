// The planner's shell: carries its actions out on the slots' workers, brings back what came of them, keeps the session,
// and tells the arbiter whatever has changed. Everything but the workers' jobs happens on the reactor's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gadgetd/arbiter_session.h"
#include "gadgetd/controllers.h"
#include "gadgetd/drain_client.h"
#include "gadgetd/gadget_planner.h"
#include "gadgetd/gadget_tree.h"
#include "gadgetd/host_watch.h"
#include "gadgetd/lun.h"
#include "gadgetd/settings.h"
#include "gadgetd/slot_journal.h"
#include "gadgetd/slot_worker.h"
#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

class GadgetKeeper {
public:
    GadgetKeeper(rpc::Reactor& reactor, const Settings& settings, const GadgetTree& tree);

    void set_limits(const PlannerLimits& limits) { plan_.limits = limits; }
    // Puts every medium out, by force where its host has locked the door, drains it and tells the arbiter; nothing is put in
    // any more. `done` is called once all of it is told, or after `limit`.
    void leave(Duration limit, std::function<void()> done);

private:
    struct SlotHands {
        Lun lun;
        std::unique_ptr<SlotWorker> worker;
    };

    void feed(const GadgetEvent& event);
    void end_if_left();
    void perform(const Record& action);
    void perform(const Inspect& action);
    void perform(const Insert& action);
    void perform(const Eject& action);
    void perform(const Drain& action);
    void tell(bool even_unchanged);
    void tell_insert(const Insert& action, const Error& failure);
    void look_around();
    void seen_around(const ControllerState& controller, const Result<DrainClient::Sources>& sources,
                     Instant asked_at);
    protocol::BladeObserved observe() const;

    rpc::Reactor& reactor_;
    Settings settings_;
    std::string gadget_folder_;
    std::string udc_class_;
    GadgetPlan plan_;
    SlotJournal journal_;
    DrainClient drains_;
    std::map<int, SlotHands> hands_;
    std::map<int, JournalEntry> recorded_;
    // What the log was told last of each slot, so that it hears only of changes.
    std::map<int, std::string> failures_;
    std::map<int, Error> unrecorded_;  // slots whose record before an insert could not be kept
    SlotWorker surroundings_;
    ControllerState controller_;
    bool sources_known_ = true;
    std::optional<protocol::BladeObserved> told_;
    std::function<void()> left_;  // set while leaving
    bool out_ = false;            // and all is out
    rpc::Timer tick_;
    rpc::Timer leave_;
    rpc::Timer look_;
    HostWatch host_;
    std::unique_ptr<ArbiterSession> session_;  // begins once every slot was seen
};

}  // namespace drivebay::gadgetd
