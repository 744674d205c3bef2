#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "fusefs/engine/admission_plan.h"
#include "fusefs/engine/admission_table.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {
namespace {

protocol::TableDrive drive(const std::string& name, bool read_only = false) {
    return {name, "/images/" + name, DriveKind::disk, read_only, 1};
}

protocol::Table table(std::vector<Admission> admit, std::vector<protocol::FenceOrder> fence = {}, Term term = 1) {
    return {term, 1, {drive("d"), drive("iso", true)}, std::move(admit), std::move(fence)};
}

// The state after `table`, which must be taken.
TableState after(const TableState& state, const protocol::Table& table, std::size_t refusals = 0) {
    std::vector<Refusal> refused;
    const Result<TableState> next = apply_table(state, table, refused);
    BOOST_REQUIRE(next.ok());
    BOOST_REQUIRE_EQUAL(refused.size(), refusals);
    return *next;
}

bool is_admitted(const TableState& state, const Admission& admission) {
    const auto found = state.admissions.find({admission.drive, admission.epoch});
    return found != state.admissions.end() && found->second.admission == admission && !found->second.revoking;
}

const Admission read7{"d", "blade01", Mode::read, 7};
const Admission read8{"d", "blade02", Mode::read, 8};
const Admission write7{"d", "blade01", Mode::write, 7};

protocol::FenceOrder fence_of(const Admission& admission) {
    return {admission.drive, admission.blade, admission.epoch};
}

protocol::Fenced fenced_of(const Admission& admission) {
    return {admission.drive, admission.blade, admission.epoch, true, ""};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(admission_plan)

BOOST_AUTO_TEST_CASE(an_epoch_at_or_below_the_floor_is_admitted) {
    TableState state = after({}, table({{"d", "blade01", Mode::read, 9}}));
    record_fenced(state, {"d", "blade01", 9, true, ""});
    for (const Epoch epoch : {1u, 8u, 9u}) {
        const Admission old{"d", "blade02", Mode::read, epoch};
        BOOST_TEST(!is_admitted(after(state, table({old}), 1), old));
    }
    const Admission next{"d", "blade02", Mode::read, 10};
    BOOST_TEST(is_admitted(after(state, table({next})), next));
}

BOOST_AUTO_TEST_CASE(the_floor_goes_with_the_drive) {
    TableState state = after({}, table({write7}));
    state = after(state, table({}, {fence_of(write7)}));
    record_fenced(state, fenced_of(write7));
    protocol::Table empty;
    empty.term = 1;
    state = after(state, empty);
    BOOST_TEST(!state.drives.contains("d"));
    BOOST_TEST(!is_admitted(after(state, table({write7}), 1), write7));
}

BOOST_AUTO_TEST_CASE(two_readers_of_one_table_keep_each_other_out) {
    const TableState state = after({}, table({read8, read7}));
    BOOST_TEST(is_admitted(state, read7));
    BOOST_TEST(is_admitted(state, read8));
}

BOOST_AUTO_TEST_CASE(what_is_admitted_is_not_admitted_again_just_so) {
    const TableState state = after({}, table({read7, read8}));
    BOOST_TEST((after(state, table({read7, read8})) == state));
    BOOST_TEST(!is_admitted(after(state, table({write7}), 1), write7));
    BOOST_TEST(!is_admitted(after(state, table({{"d", "blade03", Mode::read, 7}}), 1), {"d", "blade03", Mode::read, 7}));
}

BOOST_AUTO_TEST_CASE(an_admission_in_neither_list_ends) {
    const TableState state = after({}, table({read7}));
    BOOST_TEST(is_admitted(after(state, table({})), read7));
    protocol::Table without_drive;
    without_drive.term = 1;
    const TableState unlisted = after(state, without_drive);
    BOOST_TEST(is_admitted(unlisted, read7));
    BOOST_TEST(!unlisted.drives.at("d").listed);
}

BOOST_AUTO_TEST_CASE(a_writer_is_admitted_beside_anybody) {
    const Admission write9{"d", "blade02", Mode::write, 9};
    const Admission read9{"d", "blade02", Mode::read, 9};
    BOOST_TEST(!is_admitted(after(after({}, table({read7})), table({write9}), 1), write9));
    BOOST_TEST(!is_admitted(after(after({}, table({write7})), table({read9}), 1), read9));
    BOOST_TEST(!is_admitted(after(after({}, table({write7})), table({write9}), 1), write9));
    BOOST_TEST(is_admitted(after(after({}, table({read7})), table({read9})), read9));
}

BOOST_AUTO_TEST_CASE(a_writer_that_is_being_fenced_does_not_keep_the_next_out) {
    const Admission write9{"d", "blade02", Mode::write, 9};
    TableState state = after(after({}, table({write7})), table({write9}, {fence_of(write7)}), 1);
    BOOST_TEST(state.admissions.at({"d", 7}).revoking);
    BOOST_TEST(!is_admitted(state, write9));
    record_fenced(state, fenced_of(write7));
    state = after(state, table({write9}, {fence_of(write7)}));
    BOOST_TEST(is_admitted(state, write9));
}

BOOST_AUTO_TEST_CASE(a_blade_has_two_views_of_one_drive) {
    const Admission again{"d", "blade01", Mode::read, 9};
    BOOST_TEST(!is_admitted(after(after({}, table({read7})), table({again}), 1), again));
}

BOOST_AUTO_TEST_CASE(a_read_only_or_unknown_drive_is_written) {
    BOOST_TEST(after({}, table({{"iso", "blade01", Mode::write, 3}}), 1).admissions.empty());
    BOOST_TEST(after({}, table({{"other", "blade01", Mode::read, 3}}), 1).admissions.empty());
    BOOST_TEST(after({}, table({{"d", "blade01", Mode::read, 0}}), 1).admissions.empty());
}

BOOST_AUTO_TEST_CASE(what_a_table_both_admits_and_fences_is_admitted) {
    const TableState state = after({}, table({write7}, {fence_of(write7)}));
    BOOST_TEST(state.admissions.empty());
    BOOST_TEST(state.floors.at("d") == 7u);
}

BOOST_AUTO_TEST_CASE(a_fence_of_what_was_never_admitted_raises_no_floor_or_is_not_answered) {
    TableState state = after({}, table({}, {fence_of(write7)}));
    BOOST_TEST(state.floors.at("d") == 7u);
    BOOST_REQUIRE_EQUAL(state.fenced.size(), 1u);
    BOOST_TEST(state.fenced.begin()->second.flushed);
    BOOST_TEST(!is_admitted(after(state, table({write7}), 1), write7));
}

BOOST_AUTO_TEST_CASE(a_fence_is_answered_before_it_is_complete_or_forgotten_while_it_is_asked) {
    TableState state = after({}, table({write7}));
    const protocol::Table asks = table({}, {fence_of(write7)});
    state = after(state, asks);
    BOOST_TEST(state.fenced.empty());
    state = after(state, asks);
    BOOST_TEST(state.fenced.empty());
    record_fenced(state, {"d", "blade01", 7, false, "the flush failed"});
    state = after(state, asks);
    BOOST_REQUIRE_EQUAL(state.fenced.size(), 1u);
    BOOST_TEST(!state.fenced.begin()->second.flushed);
    BOOST_TEST(after(state, table({})).fenced.empty());
}

BOOST_AUTO_TEST_CASE(a_fence_that_names_another_blade_ends_an_admission) {
    const TableState state = after(after({}, table({write7})), table({}, {{"d", "blade02", 7}}));
    BOOST_TEST(is_admitted(state, write7));
}

BOOST_AUTO_TEST_CASE(an_older_arbiter_is_obeyed) {
    const TableState state = after({}, table({}, {}, 5));
    std::vector<Refusal> refused;
    BOOST_TEST(!apply_table(state, table({read7}, {}, 4), refused).ok());
    BOOST_TEST(is_admitted(after(state, table({read7}, {}, 5)), read7));
    BOOST_TEST(after(state, table({}, {}, 9)).term == 9u);
}

BOOST_AUTO_TEST_CASE(a_restart_forgets_or_changes_what_was_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/table.db";
    TableState expected;
    {
        Result<AdmissionTable> opened = AdmissionTable::open(path);
        BOOST_REQUIRE(opened.ok());
        TableState next = after({}, table({read7, read8}, {{"iso", "blade09", 4}}, 3));
        BOOST_REQUIRE(opened->commit(next).ok());
        next = after(next, table({}, {fence_of(read7), {"iso", "blade09", 4}}, 3));
        record_fenced(next, {"iso", "blade09", 4, false, "a \"sentence\""});
        BOOST_REQUIRE(opened->commit(next).ok());
        expected = opened->state();
    }
    const Result<AdmissionTable> again = AdmissionTable::open(path);
    BOOST_REQUIRE(again.ok());
    BOOST_TEST((again->state() == expected));
    BOOST_TEST(again->state().admissions.at({"d", 7}).revoking);
    BOOST_TEST(!again->state().admissions.at({"d", 8}).revoking);
    BOOST_TEST((after(again->state(), table({read8}, {fence_of(read7), {"iso", "blade09", 4}}, 3)) == expected));
}

BOOST_AUTO_TEST_CASE(a_table_or_a_restart_forgets_that_writes_are_on_their_way) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/table.db";
    {
        Result<AdmissionTable> opened = AdmissionTable::open(path);
        BOOST_REQUIRE(opened.ok());
        TableState next = after({}, table({}));
        mark_writes(next, "d", 3, true);
        mark_writes(next, "no-such-drive", 3, true);
        BOOST_REQUIRE(opened->commit(after(next, table({}))).ok());
    }
    {
        Result<AdmissionTable> again = AdmissionTable::open(path);
        BOOST_REQUIRE(again.ok());
        BOOST_TEST(again->state().drives.at("d").writes_marked == 3u);
        BOOST_TEST(!again->state().drives.contains("no-such-drive"));
        TableState next = again->state();
        mark_writes(next, "d", 3, false);
        BOOST_REQUIRE(again->commit(next).ok());
    }
    BOOST_TEST(AdmissionTable::open(path)->state().drives.at("d").writes_marked == 0u);
}

BOOST_AUTO_TEST_CASE(an_upgrade_forgets_what_was_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/table.db";
    TableState expected;
    {
        Result<AdmissionTable> opened = AdmissionTable::open(path);
        BOOST_REQUIRE(opened.ok());
        BOOST_REQUIRE(opened->commit(after({}, table({read7, read8}))).ok());
        expected = opened->state();
    }
    {
        Result<store::Database> database = store::Database::open(path);
        BOOST_REQUIRE(database.ok());
        BOOST_REQUIRE(database->execute("ALTER TABLE drives DROP COLUMN writes_marked").ok());
        BOOST_REQUIRE(database->set_schema_version(1).ok());
    }
    const Result<AdmissionTable> again = AdmissionTable::open(path);
    BOOST_REQUIRE(again.ok());
    BOOST_TEST((again->state() == expected));
}

BOOST_AUTO_TEST_CASE(a_local_lease_outlives_the_handles_that_held_it) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/table.db";
    {
        Result<AdmissionTable> opened = AdmissionTable::open(path);
        BOOST_REQUIRE(opened.ok());
        TableState next = after({}, table({}));
        BOOST_REQUIRE(admit(next, {"d", "@local", Mode::write, 5}).ok());
        BOOST_REQUIRE(opened->commit(next).ok());
    }
    const Result<AdmissionTable> again = AdmissionTable::open(path);
    BOOST_REQUIRE(again.ok());
    BOOST_TEST(again->state().admissions.at({"d", 5}).revoking);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
