// One step of the lease core at work: the verbs that its parts share. Lives for one step() only.
#pragma once

#include <string>
#include <utility>

#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter {

class Step {
public:
    Step(State& state, Instant now, std::int64_t wall_ms, Actions& actions)
        : state_(state), now_(now), wall_ms_(wall_ms), actions_(actions) {}

    // Events, each in the file of its topic.
    void handle(const Started&);
    void handle(const Tick&) {}
    void handle(const AddDrive&);
    void handle(const RemoveDrive&);
    void handle(const RefreshDrive&);
    void handle(const AddBlade&);
    void handle(const RemoveBlade&);
    void handle(const Present&);
    void handle(const Withdraw&);
    void handle(const LeaveQueue&);
    void handle(const Revoke&);
    void handle(const BladeArrived&);
    void handle(const BladeReported&);
    void handle(const BladeRenewed&);
    void handle(const BladeLeft&);
    void handle(const DataPathArrived&);
    void handle(const DataPathReported&);
    void handle(const DataPathLeft&);
    void handle(const LocalAcquired&);
    void handle(const LocalReleased&);

    // After every event: what time and freed drives make possible.
    void settle();

private:
    // ---- lease_endings.cc
    // Asks the blade to put the medium out; past `deadline` the host's locked door wins.
    void revoke(Lease& lease, Ending ending, Instant deadline, LeaseId taker = 0);
    // The host keeps it: back to held, and whoever asked is refused with `sentence`.
    void cancel_revocation(Lease& lease, const std::string& sentence);
    // Tells the data path to end it. A waiter, never admitted, is gone at once.
    void fence(Lease& lease, Ending ending, const std::string& outcome);
    void finish(Lease& lease);
    // The same presentation once more, as a new lease that waits: at its old place or at the end of the queue.
    Lease& succeed(Lease& lease, Mode mode, bool keep_place);
    // Ends the revocations that a waiter's --take or change of access asked for, as the waiter is no more.
    void drop_takeover(LeaseId taker);
    void end_waiter(Lease& lease, Ending ending, const std::string& outcome);
    void expire_sessions();
    void expire_revocations();
    void watch_fences();

    // ---- lease_queue.cc
    void grant_waiters();
    void serve(std::vector<Lease*>& queue);
    void grant(Lease& lease);
    Lease& new_lease(const std::string& drive, const std::string& blade, Mode mode, int slot);
    Epoch next_epoch(const std::string& drive);
    bool is_free_for(const Lease& lease) const;

    // ---- blade_sessions.cc
    // A hello's term is higher than this arbiter's: goes above it, or refuses the hello.
    void heed_term(Blade& blade, Term heard);
    // Whether one more thing that `blade` tells is to stand in the audit log.
    bool may_tell(Blade& blade);
    void tell_error(Blade& blade, const protocol::ObservedSlot& slot);
    void end_former_boot(const Blade& blade);
    void observe(Blade& blade, const protocol::BladeObserved& observed, bool answers_our_version);
    void released(Lease& lease, const protocol::LastMedium& last);
    void report_loss(const std::string& blade, const protocol::LastMedium& last);
    // The host put it out: whatever else its wish has led to since ends too.
    void consume_wish(const std::string& blade, const protocol::LastMedium& last);
    void watch_rival();

    // ---- data_path_reports.cc
    void requeue_unadmitted();
    void raise_term(Term heard);
    void raise_floor(const std::string& drive, Epoch floor);

    // ---- presenting.cc
    struct Plan;
    std::optional<Refusal> plan(const Present& request, const std::string& blade, std::vector<Plan>& plans) const;
    std::optional<Refusal> refuse_to_wait(const Present& request, const std::vector<Plan>& plans) const;
    void inherit(LeaseId former, LeaseId heir);
    void remember(const std::string& request);
    void take_over(Lease& taker, const Present& request);
    std::optional<Refusal> list_blades(const std::vector<std::string>& named, std::vector<std::string>& blades) const;

    // ---- step.cc
    void refuse(int status, std::string message) { actions_.refusal = Refusal{status, std::move(message)}; }
    void audit(std::string event, const Lease& lease, std::string detail = {});
    void changed(const Lease& lease) { actions_.changes.leases.insert(lease.id); }
    void table_changed();
    void desired_changed(const std::string& blade);

    State& state_;
    Instant now_;
    const std::int64_t wall_ms_;
    Actions& actions_;
};

// The lease of (drive, blade) that is an active or waiting presentation: the waiting one where both are there.
Lease* find_presented(State& state, const std::string& drive, const std::string& blade);
Lease* find_by_epoch(State& state, const std::string& drive, const std::string& blade, Epoch epoch);
// The medium that a blade reports in the lease's slot is this lease's.
bool is_in_its_slot(const protocol::BladeObserved& observed, const Lease& lease);
const protocol::ObservedSlot* observed_slot(const protocol::BladeObserved& observed, int slot);

}  // namespace drivebay::arbiter
