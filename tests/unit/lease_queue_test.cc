// Who is served, and in which order.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "tests/unit/lease_world.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::World;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(lease_queue)

BOOST_AUTO_TEST_CASE(two_blades_cannot_read_one_drive_at_once) {
    World world;
    world.add_drive("install");
    world.add_blade("a");
    world.add_blade("b");
    world.present("install", "a");
    world.present("install", "b");
    BOOST_TEST(world.is_loaded("install", "a"));
    BOOST_TEST(world.is_loaded("install", "b"));
    BOOST_TEST(world.lease("install", "a").epoch < world.lease("install", "b").epoch);
}

BOOST_AUTO_TEST_CASE(a_second_writer_gets_in_beside_the_first) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.add_blade("b");
    world.present("d", "a", Mode::write);
    world.present("d", "b", Mode::write);
    BOOST_TEST(world.is_loaded("d", "a"));
    BOOST_TEST(!world.data_path.admits("d", "b"));
    const auto holders = behind(world.state, world.lease("d", "b"));
    BOOST_REQUIRE_EQUAL(holders.size(), 1u);
    BOOST_TEST(holders[0].blade == "a");
}

BOOST_AUTO_TEST_CASE(a_reader_gets_in_beside_a_writer) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.add_blade("b");
    world.present("d", "a", Mode::write);
    world.present("d", "b", Mode::read);
    BOOST_TEST(!world.data_path.admits("d", "b"));
}

BOOST_AUTO_TEST_CASE(readers_that_keep_coming_starve_a_writer) {
    World world;
    world.add_drive("d");
    for (const char* blade : {"a", "b", "c"}) {
        world.add_blade(blade);
    }
    world.present("d", "a", Mode::read);
    world.present("d", "b", Mode::write);
    world.present("d", "c", Mode::read);
    BOOST_TEST(!world.data_path.admits("d", "c"));
    world.blades.at("a").host_ejects(world.slot_of("d", "a"));
    world.settle();
    BOOST_TEST(world.is_loaded("d", "b"));
    BOOST_TEST(!world.data_path.admits("d", "c"));
    world.blades.at("b").host_ejects(world.slot_of("d", "b"));
    world.settle();
    BOOST_TEST(world.is_loaded("d", "c"));
}

BOOST_AUTO_TEST_CASE(writers_are_not_served_in_the_order_they_came) {
    World world;
    world.add_drive("d");
    for (const char* blade : {"z", "y", "x"}) {
        world.add_blade(blade);
        world.present("d", blade, Mode::write);
    }
    for (const char* blade : {"z", "y", "x"}) {
        BOOST_TEST(world.is_loaded("d", blade));
        world.blades.at(blade).host_ejects(world.slot_of("d", blade));
        world.settle();
    }
}

BOOST_AUTO_TEST_CASE(an_epoch_is_used_twice) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.present("d", "a", Mode::write);
    const Epoch first = world.lease("d", "a").epoch;
    world.withdraw("d", "a");
    world.present("d", "a", Mode::write);
    BOOST_TEST(world.lease("d", "a").epoch == first + 1);
}

BOOST_AUTO_TEST_CASE(epochs_start_again_when_a_drive_is_removed_and_added) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.present("d", "a");
    const Epoch first = world.lease("d", "a").epoch;
    world.withdraw("d", "a");
    BOOST_TEST(!world.step(RemoveDrive{"d"}).refusal);
    world.add_drive("d");
    world.present("d", "a");
    BOOST_TEST(world.lease("d", "a").epoch == first + 1);
}

BOOST_AUTO_TEST_CASE(a_grant_is_made_before_the_data_path_said_hello) {
    World world(false);
    world.data_path.floors["d"] = 41;
    world.add_drive("d");
    world.add_blade("a");
    world.present("d", "a");
    BOOST_TEST((world.lease("d", "a").state == LeaseState::waiting));
    BOOST_TEST(!hindrance(world.state, "d").empty());
    world.connect_data_path();
    world.settle();
    BOOST_TEST(world.lease("d", "a").epoch == 42u);
    BOOST_TEST(world.is_loaded("d", "a"));
}

BOOST_AUTO_TEST_CASE(a_blade_sees_a_lease_that_the_data_path_has_not_admitted) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    Present request;
    request.drive = "d";
    request.blades = {"a"};
    const Actions actions = world.step(request);
    BOOST_TEST(actions.table);
    BOOST_TEST(actions.changes.epochs.contains("d"));
    BOOST_TEST(desired_state(world.state, "a").slots.empty());
}

BOOST_AUTO_TEST_CASE(a_grant_is_made_on_a_drive_that_has_failed) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.data_path.failed.insert("d");
    world.settle();
    world.present("d", "a");
    BOOST_TEST((world.lease("d", "a").state == LeaseState::waiting));
    world.data_path.failed.clear();
    world.settle();
    BOOST_TEST(world.is_loaded("d", "a"));
}

BOOST_AUTO_TEST_CASE(two_absent_blades_take_a_drive_from_each_other_for_ever) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.add_blade("b");
    world.disconnect("a");
    world.disconnect("b");
    world.pass(11s);
    world.present("d", "a", Mode::write, Policy::queue, 1);
    world.present("d", "b", Mode::write, Policy::queue, 1);
    const Epoch epoch = world.state.epochs.at("d");
    world.pass(60s);
    world.settle();
    BOOST_TEST(world.state.epochs.at("d") == epoch);
    BOOST_TEST(world.data_path.admits("d", "a"));
}

BOOST_AUTO_TEST_CASE(an_absent_waiter_keeps_the_drive_from_one_who_is_there) {
    World world;
    world.add_drive("d");
    for (const char* blade : {"a", "b", "c"}) {
        world.add_blade(blade);
    }
    world.present("d", "a", Mode::write);
    world.present("d", "b", Mode::write);
    world.present("d", "c", Mode::write);
    const Epoch first = world.lease("d", "a").epoch;
    world.disconnect("b");
    world.pass(11s);
    world.blades.at("a").host_ejects(world.slot_of("d", "a"));
    world.settle();
    BOOST_TEST(world.is_loaded("d", "c"));
    BOOST_TEST(world.lease("d", "c").epoch == first + 1);
    BOOST_TEST((world.lease("d", "b").state == LeaseState::waiting));
}

BOOST_AUTO_TEST_CASE(a_drained_medium_is_granted_on_while_the_gate_still_has_writes_in_flight) {
    World world;
    world.add_drive("d");
    world.add_blade("a");
    world.add_blade("b");
    world.present("d", "a", Mode::write);
    world.present("d", "b", Mode::write);
    world.data_path.stuck = true;
    world.blades.at("a").host_ejects(world.slot_of("d", "a"));
    world.settle();
    world.pass(20s);
    BOOST_TEST((world.lease("d", "b").state == LeaseState::waiting));
    BOOST_TEST(world.was_audited("fence-slow"));
    world.data_path.stuck = false;
    world.settle();
    BOOST_TEST(world.is_loaded("d", "b"));
}

BOOST_AUTO_TEST_SUITE_END()
