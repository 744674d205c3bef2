// One step of the gadget planner (gadget_planner.h), for its own files alone: what an event means for the slots
// (planner_events.cc), and what is to be done next with each (gadget_planner.cc).
#pragma once

#include <string>
#include <vector>

#include "gadgetd/gadget_planner.h"

namespace drivebay::gadgetd {

class PlannerStep {
public:
    PlannerStep(GadgetPlan& plan, Instant now) : plan_(plan), now_(now) {}

    void take(const LinkBegan&) { plan_.version = 0; }
    void take(const DesiredArrived& event);
    void take(const Inspected& event);
    void take(const Inserted& event);
    void take(const Ejected& event);
    void take(const Drained& event);
    void take(const SourcesSeen& event);
    void take(const HostReset&);
    void take(const Tick&) {}

    void plan_all();
    std::vector<GadgetAction> actions;

private:
    using Phase = JournalEntry::Phase;

    SlotPlan* finish(int slot);
    void read_back(int id, SlotPlan& slot, const LunReading& file);
    void first_look(int id, SlotPlan& slot, const std::string& file);
    void hold(int id, SlotPlan& slot, Medium medium);
    void leave(int id, SlotPlan& slot, Medium medium, bool by_host, const std::string& why = "");
    void watch_traffic(int id, SlotPlan& slot, const SourcesSeen& event);
    void record(int id, SlotPlan& slot, Phase phase, const Medium& medium = {}, bool by_host = false);
    void fail(SlotPlan& slot, const Error& failure);
    void settle(SlotPlan& slot);
    bool spent(const protocol::DesiredSlot& wanted) const;
    void tell_again(int id, SlotPlan& slot, const protocol::DesiredSlot& wanted);
    void plan_slot(int id, SlotPlan& slot);
    void plan_occupied(int id, SlotPlan& slot);
    void plan_empty(int id, SlotPlan& slot);
    void plan_missing(int id, SlotPlan& slot);
    template <class Action>
    void begin(SlotPlan& slot, Action action);

    GadgetPlan& plan_;
    Instant now_;
};

}  // namespace drivebay::gadgetd
