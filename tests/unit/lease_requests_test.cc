// What operators ask for, and the sentences they get.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "tests/unit/lease_world.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using models::World;
using namespace std::chrono_literals;

namespace {

struct TwoBlades : World {
    TwoBlades() {
        add_drive("install", DriveKind::cdrom);
        add_drive("scratch");
        add_drive("data");
        add_drive("more");
        add_blade("blade01");
        add_blade("blade02");
    }
};

// The refusal of `actions`, which must be one, must have changed nothing and must have told nobody.
std::string refusal(const Actions& actions, int status) {
    BOOST_REQUIRE(actions.refusal);
    BOOST_TEST(actions.refusal->status == status);
    BOOST_TEST(actions.changes.empty());
    BOOST_TEST(actions.desired.empty());
    BOOST_TEST(!actions.table);
    BOOST_TEST(actions.audit.empty());
    return actions.refusal->message;
}

bool says(const std::string& sentence, const std::string& part) {
    return sentence.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lease_requests)

BOOST_FIXTURE_TEST_CASE(unknown_names_are_accepted, TwoBlades) {
    BOOST_TEST(says(refusal(present("instal", "blade01"), 404), "did you mean install?"));
    BOOST_TEST(says(refusal(present("dtaa", "blade01"), 404), "did you mean data?"));
    BOOST_TEST(says(refusal(present("install", "blade1"), 404), "did you mean blade01?"));
    BOOST_TEST(says(refusal(present("nothing-like-it", "blade01"), 404), "there is no drive"));
    BOOST_TEST(says(refusal(withdraw("instal", "blade01"), 404), "did you mean"));
    BOOST_TEST(says(refusal(withdraw("install", "@local"), 404), "there is no blade"));
    BOOST_TEST(says(refusal(step(RemoveDrive{"instal"}), 404), "did you mean"));
    BOOST_TEST(says(refusal(step(RefreshDrive{"instal"}), 404), "did you mean"));
    BOOST_TEST(says(refusal(step(RemoveBlade{"blade03"}), 404), "did you mean"));
    BOOST_TEST(says(refusal(step(LeaveQueue{99}), 404), "no lease 99"));
}

BOOST_FIXTURE_TEST_CASE(bad_and_duplicate_names_are_accepted, TwoBlades) {
    Drive drive;
    drive.name = "install";
    BOOST_TEST(says(refusal(step(AddDrive{drive}), 409), "already"));
    drive.name = "a/b";
    BOOST_TEST(says(refusal(step(AddDrive{drive}), 400), "cannot stand there"));
    drive.name = "a\nb";
    refusal(step(AddDrive{drive}), 400);
    BOOST_TEST(says(refusal(step(AddBlade{"blade01"}), 409), "already"));
    refusal(step(AddBlade{"all"}), 400);
    refusal(step(AddBlade{"@local"}), 400);
}

BOOST_FIXTURE_TEST_CASE(a_read_only_drive_is_given_for_writing, TwoBlades) {
    BOOST_TEST(says(refusal(present("install", "blade01", Mode::write), 409), "read-only"));
}

BOOST_FIXTURE_TEST_CASE(the_same_wish_twice_makes_two_leases, TwoBlades) {
    const auto first = present("scratch", "blade01", Mode::write);
    const auto second = present("scratch", "blade01", Mode::write);
    BOOST_TEST(first.leases == second.leases);
    BOOST_TEST(second.changes.empty());
}

BOOST_FIXTURE_TEST_CASE(a_cd_does_not_prefer_the_cdrom_slot, TwoBlades) {
    present("install", "blade01");
    BOOST_TEST(slot_of("install", "blade01") == 0);
    BOOST_TEST((desired_state(state, "blade01").slots.at(0).kind == DriveKind::cdrom));
    BOOST_TEST(lease("install", "blade01").notice.empty());
}

BOOST_FIXTURE_TEST_CASE(a_second_cd_is_refused_though_a_disk_slot_is_free, TwoBlades) {
    add_drive("rescue", DriveKind::cdrom);
    present("install", "blade01");
    present("rescue", "blade01");
    BOOST_TEST(slot_of("rescue", "blade01") == 1);
    BOOST_TEST(says(lease("rescue", "blade01").notice, "read-only disk"));
    BOOST_TEST((desired_state(state, "blade01").slots.at(1).kind == DriveKind::disk));
}

BOOST_FIXTURE_TEST_CASE(a_disk_goes_into_a_cdrom_slot, TwoBlades) {
    BOOST_TEST(says(refusal(present("scratch", "blade01", Mode::read, Policy::queue, 0), 409), "does not fit"));
    present("scratch", "blade01");
    BOOST_TEST(slot_of("scratch", "blade01") == 1);
}

BOOST_FIXTURE_TEST_CASE(a_full_blade_takes_one_more, TwoBlades) {
    present("scratch", "blade01");
    present("data", "blade01");
    const std::string sentence = refusal(present("more", "blade01"), 409);
    BOOST_TEST(says(sentence, "no free slot"));
    BOOST_TEST(says(sentence, "slot 1 (disk) has scratch"));
}

BOOST_FIXTURE_TEST_CASE(a_slot_is_given_twice_or_is_not_there, TwoBlades) {
    present("scratch", "blade01", Mode::read, Policy::queue, 2);
    BOOST_TEST(slot_of("scratch", "blade01") == 2);
    BOOST_TEST(says(refusal(present("data", "blade01", Mode::read, Policy::queue, 2), 409), "is taken by scratch"));
    BOOST_TEST(says(refusal(present("data", "blade01", Mode::read, Policy::queue, 9), 404), "has no slot 9"));
    step(AddBlade{"blade03"});
    BOOST_TEST(says(refusal(present("data", "blade03", Mode::read, Policy::queue, 16), 404), "no blade has a slot 16"));
    BOOST_TEST(!present("data", "blade03", Mode::read, Policy::queue, 15).refusal);
    BOOST_TEST(says(refusal(present("scratch", "blade01", Mode::read, Policy::queue, 1), 409), "in slot 2 already"));
}

BOOST_FIXTURE_TEST_CASE(a_slot_whose_medium_is_only_being_fenced_is_not_free, TwoBlades) {
    present("scratch", "blade01", Mode::write, Policy::queue, 1);
    data_path.stuck = true;
    withdraw("scratch", "blade01", true);
    BOOST_TEST(!present("data", "blade01", Mode::read, Policy::queue, 1).refusal);
    data_path.stuck = false;
    settle();
    BOOST_TEST(is_loaded("data", "blade01"));
}

BOOST_FIXTURE_TEST_CASE(slots_of_a_blade_that_never_connected_are_guessed, TwoBlades) {
    step(AddBlade{"blade03"});
    BOOST_TEST(says(refusal(present("scratch", "blade03"), 409), "never connected"));
    BOOST_TEST(!present("scratch", "blade03", Mode::read, Policy::queue, 1).refusal);
    blades.emplace("blade03", models::BladeModel("blade03", {DriveKind::disk, DriveKind::disk}));
    connect("blade03");
    settle();
    BOOST_TEST(is_loaded("scratch", "blade03"));
}

BOOST_FIXTURE_TEST_CASE(no_queue_queues, TwoBlades) {
    present("scratch", "blade01", Mode::write);
    const std::string sentence = refusal(present("scratch", "blade02", Mode::write, Policy::no_queue), 409);
    BOOST_TEST(says(sentence, "blade01 (write)"));
    BOOST_TEST(!present("scratch", "blade01", Mode::read, Policy::no_queue).refusal);
    BOOST_TEST(!present("data", "blade02", Mode::write, Policy::no_queue).refusal);
    BOOST_TEST(is_loaded("data", "blade02"));
}

BOOST_FIXTURE_TEST_CASE(no_queue_waits_for_a_data_path_that_is_not_there, TwoBlades) {
    step(DataPathLeft{});
    BOOST_TEST(says(refusal(present("scratch", "blade02", Mode::read, Policy::no_queue), 503), "not connected"));
}

BOOST_FIXTURE_TEST_CASE(half_of_a_request_is_entered, TwoBlades) {
    Present request;
    request.drive = "scratch";
    request.blades = {"blade01", "blade9"};
    refusal(step(request), 404);
    BOOST_TEST(!is_presented("scratch", "blade01"));
    request.blades = {"blade01", "blade02"};
    request.access = Mode::write;
    request.policy = Policy::no_queue;
    refusal(step(request), 409);
    BOOST_TEST(!is_presented("scratch", "blade01"));
    present("data", "blade01");
    Withdraw withdrawal;
    withdrawal.drive = "data";
    withdrawal.blades = {"blade01", "blade02"};
    BOOST_TEST(says(refusal(step(withdrawal), 404), "not presented to blade02"));
    BOOST_TEST(is_presented("data", "blade01"));
}

BOOST_FIXTURE_TEST_CASE(a_repeated_request_is_entered_twice, TwoBlades) {
    Present request;
    request.drive = "scratch";
    request.blades = {"blade01"};
    request.request = "once";
    const auto first = step(request);
    settle();
    BOOST_TEST(first.changes.requests.contains("once"));
    blades.at("blade01").host_ejects(slot_of("scratch", "blade01"));
    settle();
    // Its answer was lost, and the host has put the drive out meanwhile: asking once more undoes nothing.
    BOOST_TEST((step(request).leases == first.leases));
    settle();
    BOOST_TEST(!is_loaded("scratch", "blade01"));
    request.request = "another";
    BOOST_TEST((step(request).leases != first.leases));
    settle();
    BOOST_TEST(is_loaded("scratch", "blade01"));
}

BOOST_FIXTURE_TEST_CASE(requests_are_kept_for_ever, TwoBlades) {
    Present request;
    request.drive = "scratch";
    request.blades = {"blade01"};
    for (std::size_t i = 0; i <= requests_kept; ++i) {
        request.request = std::to_string(i);
        step(request);
    }
    BOOST_TEST(state.requests.size() == requests_kept);
    BOOST_TEST(!state.requests.contains("0"));
    BOOST_TEST(state.requests.contains(std::to_string(requests_kept)));
}

BOOST_FIXTURE_TEST_CASE(a_revoked_lease_is_asked_for_politely_or_takes_another_with_it, TwoBlades) {
    present("install", "blade01");
    present("install", "blade02");
    const LeaseId one = lease("install", "blade01").id;
    BOOST_TEST(!step(Revoke{one}).refusal);
    BOOST_TEST((state.leases.at(one).state == LeaseState::fencing));
    settle();
    BOOST_TEST(!is_presented("install", "blade01"));
    BOOST_TEST(is_loaded("install", "blade02"));
    refusal(step(Revoke{one + 1000}), 404);
}

// An operator's step may also find that somebody else's time is over.
BOOST_FIXTURE_TEST_CASE(what_nobody_asked_for_is_told_as_an_operators_doing, TwoBlades) {
    present("scratch", "blade01", Mode::write);
    now += state.timing.ttl + std::chrono::seconds(1);
    step(BladeArrived{blades.at("blade02").hello(), "fresh"});
    Present request;
    request.drive = "scratch";
    request.blades = {"blade02"};
    request.access = Mode::write;
    const Actions actions = arbiter::step(state, Event{now, request, 0, "ann"});
    std::map<std::string, std::string> by;
    for (const AuditEntry& entry : actions.audit) {
        by[entry.event] = entry.by;
    }
    BOOST_TEST(by.at("presented") == "ann");
    BOOST_TEST(by.at("fencing").empty());
}

BOOST_FIXTURE_TEST_CASE(all_means_some, TwoBlades) {
    Present request;
    request.drive = "install";
    request.all = true;
    request.blades = {"blade01", "blade02", "gone"};
    BOOST_TEST(step(request).leases.size() == 2u);
    settle();
    BOOST_TEST(is_loaded("install", "blade01"));
    BOOST_TEST(is_loaded("install", "blade02"));
    Withdraw withdrawal;
    withdrawal.drive = "install";
    withdrawal.all = true;
    BOOST_TEST(step(withdrawal).leases.size() == 2u);
    settle();
    BOOST_TEST(says(refusal(step(withdrawal), 404), "no blade"));
}

BOOST_FIXTURE_TEST_CASE(what_is_in_use_can_be_removed, TwoBlades) {
    present("scratch", "blade01", Mode::write);
    BOOST_TEST(says(refusal(step(RemoveDrive{"scratch"}), 409), "blade01 (write)"));
    BOOST_TEST(says(refusal(step(RemoveBlade{"blade01"}), 409), "scratch"));
    withdraw("scratch", "blade01");
    BOOST_TEST(!step(RemoveDrive{"scratch"}).refusal);
    BOOST_TEST(!step(RemoveBlade{"blade01"}).refusal);
}

BOOST_AUTO_TEST_SUITE_END()
