// Blades and the data path come, go, restart.
#define BOOST_TEST_DYN_LINK
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <limits>

#include "tests/unit/lease_world.h"
#include "tests/unit/stored_findings.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::BladeModel;
using models::World;
using namespace std::chrono_literals;

namespace {

// What a restart of the arbiter keeps of its state: what is stored.
State restarted(const State& before) {
    State state;
    state.drives = before.drives;
    state.blades = before.blades;
    for (const auto& [id, lease] : before.leases) {
        if (!is_gone(lease)) {
            state.leases[id] = lease;
        }
    }
    state.epochs = before.epochs;
    state.term = before.term + 1;
    state.last_lease = before.last_lease;
    for (auto& [name, drive] : state.drives) {
        drive.observed.reset();
    }
    for (auto& [name, blade] : state.blades) {
        blade.connected = blade.live = false;
        blade.observed = {};
    }
    return state;
}

struct OneWriter : World {
    OneWriter() {
        add_drive("d");
        add_blade("a");
        present("d", "a", Mode::write);
        epoch = lease("d", "a").epoch;
        first = lease("d", "a").id;
    }
    Epoch epoch = 0;
    LeaseId first = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lease_sessions)

BOOST_FIXTURE_TEST_CASE(a_stranger_is_welcome, World) {
    add_blade("blade01");
    blades.emplace("blade02", models::BladeModel("blade02", {}));
    const Actions actions = connect("blade02");
    BOOST_REQUIRE(actions.refusal);
    BOOST_TEST(actions.refusal->message.find("drivebay blade add blade02") != std::string::npos);
    BOOST_TEST(!actions.welcome);
}

BOOST_FIXTURE_TEST_CASE(a_restarted_gadgetd_loses_its_session_and_its_medium, OneWriter) {
    disconnect("a");
    const Actions actions = connect("a");
    BOOST_REQUIRE(actions.welcome);
    BOOST_TEST(actions.welcome->session == "session of a");
    BOOST_TEST(actions.desired.contains("a"));
    settle();
    BOOST_TEST(lease("d", "a").epoch == epoch);
}

BOOST_FIXTURE_TEST_CASE(a_rebooted_blade_keeps_the_epoch_of_its_former_life, OneWriter) {
    blades.at("a").reboot();
    connect("a");
    BOOST_TEST((state.leases.at(first).state == LeaseState::fencing));
    BOOST_TEST(desired_state(state, "a").slots.empty());
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == epoch + 1);
}

// A copy of the store from just after the grant: the lease was held and used since, in the boot before.
BOOST_FIXTURE_TEST_CASE(a_rebooted_blade_gets_an_epoch_again_that_a_rolled_back_store_has_just_granted, OneWriter) {
    state = restarted(state);
    state.leases.at(first).state = LeaseState::granted;
    step(Started{});
    blades.at("a").reboot();
    connect("a");
    BOOST_TEST((state.leases.at(first).state == LeaseState::fencing));
    connect_data_path();
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == epoch + 1);
}

BOOST_FIXTURE_TEST_CASE(a_rebooted_blade_passes_those_who_wait, OneWriter) {
    add_blade("b");
    present("d", "b", Mode::write);
    blades.at("a").reboot();
    connect("a");
    settle();
    BOOST_TEST(is_loaded("d", "b"));
    BOOST_TEST((lease("d", "a").state == LeaseState::waiting));
}

BOOST_FIXTURE_TEST_CASE(a_repeated_or_late_report_changes_something, OneWriter) {
    const auto report = blades.at("a").observed();
    withdraw("d", "a");
    present("d", "a", Mode::write);
    const Epoch now_held = lease("d", "a").epoch;
    step(BladeReported{"a", report});
    step(BladeReported{"a", report});
    settle();
    BOOST_TEST(lease("d", "a").epoch == now_held);
    BOOST_TEST(is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_restarts_throws_media_out, OneWriter) {
    state = restarted(state);
    step(Started{});
    disconnect("a");
    connect("a");
    // Before the data path is back, the blade is told to keep what it has.
    const auto desired = desired_state(state, "a");
    BOOST_REQUIRE_EQUAL(desired.slots.size(), 1u);
    BOOST_TEST(desired.slots[0].epoch == epoch);
    BOOST_TEST(!desired.slots[0].eject);
    connect_data_path();
    settle();
    BOOST_TEST(lease("d", "a").epoch == epoch);
    BOOST_TEST(is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_restarts_takes_silent_holders_for_dead, OneWriter) {
    add_blade("b");
    present("d", "b", Mode::write);
    state = restarted(state);
    step(Started{});
    connected.erase("a");
    connect("b");
    connect_data_path();
    settle();
    pass(9s);
    settle();
    BOOST_TEST((state.leases.at(first).state == LeaseState::held));
    pass(2s);
    settle();
    BOOST_TEST(is_loaded("d", "b"));
}

BOOST_FIXTURE_TEST_CASE(a_fence_under_way_is_forgotten_by_a_restart, OneWriter) {
    data_path.stuck = true;
    withdraw("d", "a", true);
    state = restarted(state);
    step(Started{});
    connect_data_path();
    BOOST_TEST(data_path_table(state).fence.size() == 1u);
    data_path.stuck = false;
    settle();
    BOOST_TEST(data_path_table(state).fence.empty());
    BOOST_TEST(state.leases.at(first).outcome.find("by force") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_with_an_empty_store_goes_below_the_data_paths_floor, OneWriter) {
    state = State{};
    state.term = 1;
    step(Started{});
    connect_data_path();
    BOOST_TEST(state.term == 2u);
    BOOST_TEST(state.epochs.at("d") == epoch);
    // Nobody stands for what is admitted: it is fenced before anyone else gets the drive.
    connected.clear();
    data_path.stuck = true;
    add_drive("d");
    add_blade("b");
    present("d", "b", Mode::write);
    BOOST_TEST((lease("d", "b").state == LeaseState::waiting));
    data_path.stuck = false;
    settle();
    BOOST_TEST(lease("d", "b").epoch == epoch + 1);
    BOOST_TEST(!data_path.admits("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_with_an_old_store_uses_epochs_again, OneWriter) {
    const State old = state;
    withdraw("d", "a");
    present("d", "a", Mode::write);
    withdraw("d", "a");
    const Epoch highest = state.epochs.at("d");
    state = restarted(old);
    step(Started{});
    connect_data_path();
    blades.at("a").slots.clear();
    disconnect("a");
    connect("a");
    settle();
    pass(6s);
    settle();
    // Its lease of the old epoch is admitted by nobody any more: it gets a new one.
    BOOST_TEST(lease("d", "a").epoch > highest);
    BOOST_TEST(data_path.admits("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(a_restart_of_the_data_path_ends_leases, OneWriter) {
    step(DataPathLeft{});
    BOOST_TEST(!hindrance(state, "d").empty());
    pass(60s);
    connect_data_path();
    settle();
    BOOST_TEST(lease("d", "a").epoch == epoch);
    BOOST_TEST((lease("d", "a").state == LeaseState::held));
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_of_a_lower_term_is_believed, World) {
    add_blade("a").term = 9;
    disconnect("a");
    step(DataPathLeft{});
    const Actions actions = connect("a");
    BOOST_REQUIRE(actions.refusal);
    BOOST_TEST(actions.refusal->message.find("term 9") != std::string::npos);
    // No data path comes that would tell how high to go: it is another's.
    now += state.timing.ttl;
    BOOST_TEST((next_deadline(state).value() <= now));
    BOOST_TEST(step(Tick{}).deposed.has_value());
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_the_data_path_obeys_gives_way_to_a_blades_memory, World) {
    add_blade("a").term = 9;
    disconnect("a");
    BOOST_TEST(connect("a").welcome.has_value());
    BOOST_TEST(state.term == 10u);
    now += state.timing.ttl;
    BOOST_TEST(!step(Tick{}).deposed);
}

// A stolen blade may tell of any term; what it makes of this arbiter's must stay one that the next start takes.
BOOST_FIXTURE_TEST_CASE(a_blade_drives_the_term_to_its_end, World) {
    add_blade("a");
    const Term first = state.term;
    for (const Term term : {first + highest_leap, Term{1} << 40, std::numeric_limits<Term>::max()}) {
        blades.at("a").term = term;
        const Actions actions = connect("a");
        BOOST_REQUIRE(actions.refusal);
        BOOST_TEST(actions.refusal->message.find("not believed") != std::string::npos);
        BOOST_TEST(state.term == first);
        BOOST_TEST(!actions.changes.term);
    }
    // Nor step by step, and not in a rush either.
    for (int time = 0; time < 8; ++time) {
        blades.at("a").term = state.term + highest_leap / 2 - 1;
        connect("a");
        blades.at("a").term = state.term + 1;
        BOOST_TEST(connect("a").refusal.has_value());
        now += state.timing.ttl;
    }
    BOOST_TEST(state.term > first);
    BOOST_TEST(state.term <= first + highest_leap);
    BOOST_TEST(stored_findings(state).empty());
}

BOOST_FIXTURE_TEST_CASE(a_blade_ends_an_arbiter_that_the_data_path_comes_to, World) {
    add_blade("a").term = 9;
    disconnect("a");
    step(DataPathLeft{});
    BOOST_TEST(connect("a").refusal.has_value());
    connect_data_path();
    now += state.timing.ttl;
    BOOST_TEST(!step(Tick{}).deposed);
    BOOST_TEST(connect("a").welcome.has_value());
}

BOOST_FIXTURE_TEST_CASE(a_term_that_no_arbiter_can_have_ends_an_arbiter_without_a_data_path, World) {
    add_blade("a").term = std::numeric_limits<Term>::max();
    disconnect("a");
    step(DataPathLeft{});
    BOOST_TEST(connect("a").refusal.has_value());
    now += state.timing.ttl;
    BOOST_TEST(!step(Tick{}).deposed);
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_makes_up_errors_fills_the_audit_log, World) {
    BladeModel& blade = add_blade("a");
    const auto told = [this] {
        return std::count_if(audit.begin(), audit.end(), [](const AuditEntry& entry) {
            return entry.event == "slot-error" || entry.event == "lost";
        });
    };
    auto report = [this, &blade, number = 0]() mutable {
        auto& slot = blade.slots.at(0);
        slot.state = protocol::SlotState::error;
        slot.error = std::to_string(++number);
        slot.last = protocol::LastMedium{"d", static_cast<Epoch>(number), protocol::Outcome::lost, false, 0};
        step(BladeReported{"a", blade.observed()});
    };
    for (int time = 0; time < 200; ++time) {
        report();
    }
    BOOST_TEST(told() <= 32);
    BOOST_TEST(told() >= 16);
    now += 10s;
    report();
    const auto last = std::find_if(audit.rbegin(), audit.rend(), [](const auto& entry) { return entry.event == "slot-error"; });
    BOOST_TEST(last->detail.find("more things were told") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_was_replaced_goes_on, World) {
    settle();
    step(DataPathLeft{});
    auto hello = data_path.hello();
    hello.term = state.term + 1;
    BOOST_TEST(step(DataPathArrived{hello}).deposed.has_value());
}

BOOST_AUTO_TEST_CASE(a_blade_is_told_what_to_do_by_an_arbiter_that_may_run_on_an_old_copy) {
    World world(false);
    world.step(AddBlade{"a"});
    world.blades.emplace("a", models::BladeModel("a", {DriveKind::disk}));
    BOOST_TEST(world.connect("a").desired.empty());
    BOOST_TEST(world.step(DataPathArrived{world.data_path.hello()}).desired.empty());
    // Nor before it has taken a table of this term: another arbiter could have come to the same one.
    world.data_path.apply(data_path_table(world.state));
    BOOST_TEST(world.step(DataPathReported{world.data_path.observed()}).desired.contains("a"));
}

BOOST_FIXTURE_TEST_CASE(a_restarted_arbiter_grants_before_the_holders_have_reported, OneWriter) {
    add_blade("b");
    state = restarted(state);
    step(Started{});
    connect_data_path();
    Present request;
    request.drive = "d";
    request.blades = {"b"};
    request.policy = Policy::no_queue;
    BOOST_TEST(step(request).refusal.value().message.find("waits for a") != std::string::npos);
    connect("a");
    BOOST_TEST(hindrance(state, "d").empty());
    state = restarted(state);
    step(Started{});
    connect_data_path();
    BOOST_TEST(!hindrance(state, "d").empty());
    now += state.timing.ttl;
    step(Tick{});
    BOOST_TEST(hindrance(state, "d").empty());
}

BOOST_FIXTURE_TEST_CASE(a_hosts_eject_that_was_told_late_is_undone, OneWriter) {
    // While the blade is away another has waited and given back, so that the presentation has got another epoch.
    disconnect("a");
    add_blade("b");
    present("d", "b", Mode::write);
    pass(state.timing.ttl + 1s);
    settle();
    blades.at("a").host_ejects(blades.at("a").slots.begin()->first);
    for (auto& [number, slot] : blades.at("a").slots) {
        blades.at("a").host_ejects(number);
    }
    connect("a");
    settle();
    blades.at("b").host_ejects(slot_of("d", "b"));
    settle();
    BOOST_TEST(!is_presented("d", "a"));
    BOOST_TEST(!is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(an_answer_to_a_former_terms_state_counts_for_this_one, OneWriter) {
    const auto old_answer = blades.at("a").observed();
    state = restarted(state);
    step(Started{});
    BOOST_TEST(state.blades.at("a").version > old_answer.version);
}

BOOST_FIXTURE_TEST_CASE(a_removed_blade_stays_connected, World) {
    add_blade("a");
    BOOST_TEST(step(RemoveBlade{"a"}).dropped_blades.contains("a"));
}

// ---- @local

namespace {

protocol::LocalAnswer acquire(World& world, Mode mode) {
    const Actions actions = world.step(LocalAcquired{{7, "d", mode}});
    BOOST_REQUIRE_EQUAL(actions.local_answers.size(), 1u);
    if (actions.local_answers[0].granted) {
        const protocol::LocalUse use{"d", actions.local_answers[0].epoch};
        std::erase(world.data_path.local, use);
        world.data_path.local.push_back(use);
    }
    return actions.local_answers[0];
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(local_tools_get_in_beside_a_writer, OneWriter) {
    const auto answer = acquire(*this, Mode::read);
    BOOST_TEST(!answer.granted);
    BOOST_TEST(answer.error.find("a (write)") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_blade_gets_in_beside_a_local_writer, World) {
    add_drive("d");
    add_blade("a");
    const auto answer = acquire(*this, Mode::write);
    BOOST_TEST(answer.granted);
    BOOST_TEST(data_path_table(state).admit.empty());
    present("d", "a");
    BOOST_TEST((lease("d", "a").state == LeaseState::waiting));
    data_path.local.clear();
    step(LocalReleased{{"d", answer.epoch}});
    settle();
    BOOST_TEST(is_loaded("d", "a"));
    BOOST_TEST(lease("d", "a").epoch == answer.epoch + 1);
}

BOOST_FIXTURE_TEST_CASE(local_readers_starve_a_waiting_writer, World) {
    add_drive("d");
    add_blade("a");
    add_blade("b");
    present("d", "a");
    present("d", "b", Mode::write);
    BOOST_TEST(!acquire(*this, Mode::read).granted);
}

BOOST_FIXTURE_TEST_CASE(a_repeated_local_acquire_gets_a_second_epoch, World) {
    add_drive("d");
    const Epoch first = acquire(*this, Mode::write).epoch;
    BOOST_TEST(acquire(*this, Mode::read).epoch == first);
}

BOOST_FIXTURE_TEST_CASE(a_local_reader_becomes_a_writer_beside_itself, World) {
    add_drive("d");
    BOOST_TEST(acquire(*this, Mode::read).granted);
    BOOST_TEST(!acquire(*this, Mode::write).granted);
}

BOOST_FIXTURE_TEST_CASE(a_local_lease_outlives_the_data_path_that_held_it, World) {
    add_drive("d");
    add_blade("a");
    BOOST_TEST(acquire(*this, Mode::write).granted);
    data_path.local.clear();
    step(DataPathLeft{});
    connect_data_path();
    present("d", "a", Mode::write);
    BOOST_TEST(is_loaded("d", "a"));
}

BOOST_FIXTURE_TEST_CASE(a_local_lease_is_lost_with_a_link_that_comes_back, World) {
    add_drive("d");
    const auto answer = acquire(*this, Mode::write);
    step(DataPathLeft{});
    connect_data_path();
    BOOST_TEST(acquire(*this, Mode::write).epoch == answer.epoch);
}

// Its grant went with a store that was rolled back; it is fenced first.
BOOST_FIXTURE_TEST_CASE(a_local_use_gets_in_beside_one_that_the_store_does_not_remember, World) {
    add_drive("d");
    const auto before = acquire(*this, Mode::write);
    step(DataPathLeft{});
    state.leases.clear();
    step(DataPathArrived{data_path.hello()});
    const auto beside = acquire(*this, Mode::write);
    BOOST_TEST(!beside.granted);
    BOOST_TEST(beside.error.find("being closed") != std::string::npos);
    data_path.local.clear();
    settle();
    const auto after = acquire(*this, Mode::write);
    BOOST_TEST(after.granted);
    BOOST_TEST(after.epoch == before.epoch + 1);
}

BOOST_FIXTURE_TEST_CASE(force_does_not_reach_local_tools, World) {
    add_drive("d");
    add_blade("a");
    const auto answer = acquire(*this, Mode::write);
    Present request;
    request.drive = "d";
    request.blades = {"a"};
    request.policy = Policy::force;
    step(request);
    BOOST_REQUIRE_EQUAL(data_path_table(state).fence.size(), 1u);
    BOOST_TEST(data_path_table(state).fence[0].blade == "@local");
    settle();
    BOOST_TEST(lease("d", "a").epoch == answer.epoch + 1);
}

BOOST_FIXTURE_TEST_CASE(take_waits_for_local_tools_for_ever, World) {
    add_drive("d");
    add_blade("a");
    acquire(*this, Mode::write);
    present("d", "a", Mode::read, Policy::take);
    const LeaseId taker = lease("d", "a").id;
    pass(31s);
    BOOST_TEST((state.leases.at(taker).state == LeaseState::gone));
    BOOST_TEST(state.leases.at(taker).outcome.find("management module") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_late_report_keeps_what_is_never_admitted_alive, World) {
    connect_data_path();
    add_drive("d");
    add_blade("a");
    present("d", "a");
    const Epoch epoch = lease("d", "a").epoch;
    const auto late = data_path.observed();
    // It has seen that epoch end, under an arbiter whose store is gone.
    data_path.admitted.clear();
    data_path.floors["d"] = epoch;
    data_path.apply(data_path_table(state));
    step(DataPathReported{data_path.observed()});
    auto older = late;
    older.version = state.table_version - 1;
    older.admitted.clear();
    step(DataPathReported{older});
    pass(state.timing.admit_patience + std::chrono::seconds(2));
    settle();
    BOOST_TEST(lease("d", "a").epoch > epoch);
}

BOOST_AUTO_TEST_SUITE_END()
