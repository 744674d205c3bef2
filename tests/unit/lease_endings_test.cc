// How leases end, and what becomes of those who wait.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "tests/unit/lease_world.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::World;
using namespace std::chrono_literals;

namespace {

// blade a writes on d, b waits to write.
struct Contended : World {
    Contended() {
        add_drive("d");
        add_blade("a");
        add_blade("b");
        present("d", "a", Mode::write);
        first = lease("d", "a").id;
        epoch = lease("d", "a").epoch;
    }
    void lock_door(bool locked) {
        blades.at("a").slots.at(slot_of("d", "a")).host_locked = locked;
        settle();
    }
    const Lease& former() { return state.leases.at(first); }
    LeaseId first = 0;
    Epoch epoch = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lease_endings)

BOOST_FIXTURE_TEST_CASE(the_waiter_is_not_served_when_the_holders_host_ejects, Contended) {
    present("d", "b", Mode::write);
    blades.at("a").host_ejects(slot_of("d", "a"));
    settle();
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST(lease("d", "b").epoch == epoch + 1);
    BOOST_TEST(was_audited("ejected-by-host"));
}

BOOST_FIXTURE_TEST_CASE(what_a_host_ejected_is_put_in_again, Contended) {
    blades.at("a").host_ejects(slot_of("d", "a"));
    settle();
    pass(30s);
    settle();
    BOOST_TEST(!is_presented("d", "a"));
    BOOST_TEST(!is_loaded("d", "a"));
    BOOST_TEST((former().ending == Ending::ejected));
}

BOOST_FIXTURE_TEST_CASE(an_empty_slot_is_taken_for_a_release, Contended) {
    present("d", "b", Mode::write);
    auto observed = blades.at("a").observed();
    for (auto& slot : observed.slots) {
        slot.drive.clear();
        slot.epoch = 0;
        slot.state = protocol::SlotState::ejected_by_host;
    }
    step(BladeReported{"a", observed});
    BOOST_TEST((former().state == LeaseState::held));
    data_path.apply(data_path_table(state));
    BOOST_TEST(data_path.admits("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(a_release_of_an_older_epoch_ends_a_newer_lease, Contended) {
    blades.at("a").host_ejects(slot_of("d", "a"));
    settle();
    const auto stale = blades.at("a").observed();
    present("d", "a", Mode::write);
    step(BladeReported{"a", stale});
    BOOST_TEST((lease("d", "a").state == LeaseState::held));
}

BOOST_FIXTURE_TEST_CASE(withdraw_leaves_the_medium_in_the_slot, Contended) {
    const Actions actions = withdraw("d", "a");
    BOOST_REQUIRE(!actions.refusal);
    BOOST_TEST(actions.leases.front() == first);
    BOOST_TEST((former().state == LeaseState::gone));
    BOOST_TEST(!former().outcome.empty());
    BOOST_TEST(!is_loaded("d", "a"));
    BOOST_TEST(!data_path.admits("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(withdraw_tears_a_mounted_drive_out_of_its_host, Contended) {
    lock_door(true);
    withdraw("d", "a");
    BOOST_TEST((former().state == LeaseState::revoking));
    pass(9s);
    BOOST_TEST((former().state == LeaseState::revoking));
    pass(2s);
    settle();
    BOOST_TEST((former().state == LeaseState::held));
    BOOST_TEST(former().wanted);
    BOOST_TEST(former().outcome.find("a's host has locked the door") != std::string::npos);
    BOOST_TEST(is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(withdraw_misses_a_door_that_opens_in_time, Contended) {
    lock_door(true);
    withdraw("d", "a");
    pass(5s);
    blades.at("a").slots.at(former().slot).host_locked = false;
    settle();
    BOOST_TEST((former().state == LeaseState::gone));
}

BOOST_FIXTURE_TEST_CASE(withdraw_by_force_waits_for_the_host, Contended) {
    lock_door(true);
    blades.at("a").drain = protocol::Outcome::lost;
    Withdraw request;
    request.drive = "d";
    request.blades = {"a"};
    request.force = true;
    const Actions actions = step(request);
    BOOST_TEST(actions.table);
    BOOST_TEST(desired_state(state, "a").slots.empty());
    // The blade hears of it before the gate has answered.
    blades.at("a").apply(desired_state(state, "a"));
    step(BladeReported{"a", blades.at("a").observed()});
    BOOST_TEST(was_audited("lost"));
    settle();
    BOOST_TEST((former().state == LeaseState::gone));
}

BOOST_FIXTURE_TEST_CASE(withdraw_of_what_never_got_into_the_slot_waits_for_its_release, World) {
    add_drive("d");
    add_blade("a").refuses_media = true;
    present("d", "a");
    const LeaseId id = lease("d", "a").id;
    withdraw("d", "a");
    BOOST_TEST((state.leases.at(id).state == LeaseState::gone));
}

BOOST_FIXTURE_TEST_CASE(a_report_from_before_the_question_is_taken_for_its_answer, World) {
    add_drive("d");
    add_blade("a");
    const auto early = blades.at("a").observed();
    Present request;
    request.drive = "d";
    request.blades = {"a"};
    request.access = Mode::write;
    const LeaseId id = step(request).leases.front();
    data_path.apply(data_path_table(state));
    step(DataPathReported{data_path.observed()});
    blades.at("a").apply(desired_state(state, "a"));
    // Loaded by now, but that report is still under way when the withdrawal comes.
    Withdraw withdrawal;
    withdrawal.drive = "d";
    withdrawal.blades = {"a"};
    step(withdrawal);
    step(BladeReported{"a", early});
    BOOST_TEST((state.leases.at(id).state == LeaseState::revoking));
    settle();
    BOOST_TEST((state.leases.at(id).state == LeaseState::gone));
    BOOST_TEST(state.leases.at(id).outcome.find("all that was written is on the drive") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_medium_put_out_but_not_drained_keeps_its_lease_for_ever, Contended) {
    Withdraw request;
    request.drive = "d";
    request.blades = {"a"};
    step(request);
    auto observed = blades.at("a").observed();
    observed.version = state.blades.at("a").version;
    for (auto& slot : observed.slots) {
        slot.drive.clear();
        slot.epoch = 0;
        slot.state = protocol::SlotState::empty;
    }
    step(BladeReported{"a", observed});
    pass(15s);
    BOOST_TEST((former().state == LeaseState::revoking));
    pass(60s);
    BOOST_TEST((former().state == LeaseState::fencing));
    BOOST_TEST(was_audited("loss-unknown"));
}

BOOST_FIXTURE_TEST_CASE(force_grants_before_the_gate_has_closed, Contended) {
    data_path.stuck = true;
    present("d", "b", Mode::write, Policy::force);
    BOOST_TEST((former().state == LeaseState::fencing));
    BOOST_TEST((lease("d", "b").state == LeaseState::waiting));
    data_path.stuck = false;
    settle();
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST(!is_loaded("d", "a"));
    BOOST_TEST(!is_presented("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(take_does_not_ask_the_holder, Contended) {
    add_blade("c");
    present("d", "c", Mode::write);
    present("d", "b", Mode::write, Policy::take);
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST((former().ending == Ending::taken));
    BOOST_TEST((lease("d", "c").state == LeaseState::waiting));
}

BOOST_FIXTURE_TEST_CASE(take_tears_a_mounted_drive_out_of_its_host, Contended) {
    lock_door(true);
    present("d", "b", Mode::write, Policy::take);
    const LeaseId taker = lease("d", "b").id;
    pass(29s);
    BOOST_TEST((former().state == LeaseState::revoking));
    pass(2s);
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST((state.leases.at(taker).state == LeaseState::gone));
    BOOST_TEST(state.leases.at(taker).outcome.find("locked the door") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_taker_that_gives_up_still_costs_the_holder_its_drive, Contended) {
    lock_door(true);
    present("d", "b", Mode::write, Policy::take);
    BOOST_TEST(!step(LeaveQueue{lease("d", "b").id}).refusal);
    settle();
    lock_door(false);
    BOOST_TEST((former().state == LeaseState::held));
    BOOST_TEST(is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(two_readers_that_both_want_to_write_wait_for_each_other_for_ever, World) {
    add_drive("d");
    add_blade("a");
    add_blade("b");
    present("d", "a");
    present("d", "b");
    Present upgrade;
    upgrade.drive = "d";
    upgrade.access = Mode::write;
    upgrade.blades = {"a"};
    step(upgrade);
    upgrade.blades = {"b"};
    step(upgrade);
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST((lease("d", "a").mode == Mode::write));
    BOOST_TEST(!is_loaded("d", "b"));
    blades.at("a").host_ejects(slot_of("d", "a"));
    settle();
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST((lease("d", "b").mode == Mode::write));
}

BOOST_FIXTURE_TEST_CASE(other_access_keeps_the_old_epoch, Contended) {
    present("d", "a", Mode::read);
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == epoch + 1);
    BOOST_TEST(former().successor == lease("d", "a").id);
}

BOOST_FIXTURE_TEST_CASE(other_access_is_lost_and_the_old_too_when_the_door_is_locked, Contended) {
    lock_door(true);
    present("d", "a", Mode::read);
    const LeaseId wish = lease("d", "a").id;
    // It waits for nobody but its own host, so it is not told as one of a queue.
    BOOST_TEST(behind(state, lease("d", "a")).empty());
    pass(11s);
    settle();
    BOOST_TEST((state.leases.at(wish).state == LeaseState::gone));
    BOOST_TEST((former().state == LeaseState::held));
    BOOST_TEST(former().wanted);
}

BOOST_FIXTURE_TEST_CASE(present_during_a_withdrawal_is_forgotten, Contended) {
    Withdraw request;
    request.drive = "d";
    request.blades = {"a"};
    step(request);
    BOOST_TEST(!present("d", "a", Mode::write).refusal);
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == epoch + 1);
}

BOOST_FIXTURE_TEST_CASE(refresh_leaves_readers_on_the_old_image, World) {
    add_drive("d", DriveKind::cdrom);
    add_blade("a");
    add_blade("b");
    present("d", "a");
    present("d", "b");
    BOOST_TEST(!step(RefreshDrive{"d"}).refusal);
    // Before the data path has opened it anew nobody gets it.
    for (const std::string& blade : connected) {
        blades.at(blade).apply(desired_state(state, blade));
        step(BladeReported{blade, blades.at(blade).observed()});
    }
    BOOST_TEST((lease("d", "a").state == LeaseState::waiting));
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST(lease("d", "a").epoch == 3u);
    BOOST_TEST(lease("d", "b").epoch == 4u);
}

BOOST_FIXTURE_TEST_CASE(refresh_pulls_a_drive_away_from_its_writer, Contended) {
    const Actions actions = step(RefreshDrive{"d"});
    BOOST_REQUIRE(actions.refusal);
    BOOST_TEST(actions.refusal->status == 409);
    BOOST_TEST(state.drives.at("d").generation == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_holder_that_is_away_is_fenced_without_anybody_waiting, Contended) {
    disconnect("a");
    pass(60s);
    settle();
    BOOST_TEST((former().state == LeaseState::held));
    connect("a");
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == epoch);
}

BOOST_FIXTURE_TEST_CASE(a_loss_told_after_the_fence_is_not_in_the_audit_log, Contended) {
    present("d", "b", Mode::write);
    disconnect("a");
    pass(11s);
    settle();
    BOOST_TEST((former().state == LeaseState::gone));
    blades.at("a").drain = protocol::Outcome::lost;
    connect("a");
    BOOST_TEST(!was_audited("lost"));
    settle();
    BOOST_TEST(was_audited("lost"));
}

BOOST_FIXTURE_TEST_CASE(a_waiter_waits_for_a_dead_holder_for_ever, Contended) {
    present("d", "b", Mode::write);
    disconnect("a");
    pass(9s);
    BOOST_TEST((former().state == LeaseState::held));
    pass(2s);
    settle();
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST((former().ending == Ending::expired));
    // The operator still wants it there, behind the one who has it now.
    BOOST_TEST((lease("d", "a").state == LeaseState::waiting));
}

BOOST_FIXTURE_TEST_CASE(a_withdrawal_waits_for_a_dead_holder_for_ever, Contended) {
    disconnect("a");
    withdraw("d", "a");
    BOOST_TEST((former().state == LeaseState::revoking));
    pass(11s);
    settle();
    BOOST_TEST((former().state == LeaseState::gone));
}

BOOST_FIXTURE_TEST_CASE(a_waiter_that_left_is_still_served, Contended) {
    present("d", "b", Mode::write);
    const LeaseId waiter = lease("d", "b").id;
    BOOST_TEST(!step(LeaveQueue{waiter}).refusal);
    blades.at("a").host_ejects(slot_of("d", "a"));
    settle();
    BOOST_TEST(!is_loaded("d", "b"));
    BOOST_TEST(step(LeaveQueue{waiter}).leases.front() == waiter);
}

BOOST_FIXTURE_TEST_CASE(a_holder_can_be_thrown_out_by_leaving_a_queue, Contended) {
    BOOST_TEST(step(LeaveQueue{first}).refusal.has_value());
    BOOST_TEST((former().state == LeaseState::held));
}

BOOST_FIXTURE_TEST_CASE(a_wish_changed_twice_leaves_two_leases_waiting, Contended) {
    lock_door(true);
    Present request;
    request.drive = "d";
    request.blades = {"a"};
    request.access = Mode::read;
    step(request);
    request.access = Mode::write;
    step(request);
    pass(11s);
    lock_door(false);
    BOOST_TEST((former().state == LeaseState::held));
    for (const auto& [id, lease] : state.leases) {
        BOOST_TEST((id == first || is_gone(lease)));
    }
}

BOOST_AUTO_TEST_SUITE_END()
