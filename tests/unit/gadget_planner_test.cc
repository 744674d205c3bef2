// The gadget planner against a model of one blade: LUNs that behave as facts of f_mass_storage say, a drivebayfs that
// answers or not, and a clock that the test moves.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/gadget_planner.h"

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <cerrno>
#include <deque>
#include <ostream>
#include <random>

using namespace drivebay;
using namespace drivebay::gadgetd;
using namespace std::chrono_literals;
using protocol::Outcome;
using protocol::SlotState;
using Kind = DrainAnswer::Kind;

namespace drivebay::protocol {
std::ostream& operator<<(std::ostream& out, SlotState state) {
    return out << to_string(state);
}
std::ostream& operator<<(std::ostream& out, Outcome outcome) {
    return out << to_string(outcome);
}
}  // namespace drivebay::protocol

namespace {

// What the kernel, the host and drivebayfs do. Actions are carried out at once or, with `hold`, when the test says so.
struct Blade {
    struct LunModel {
        std::string file;
        bool locked = false;
        int insert_error = 0;
        bool swallow = false;  // an insert succeeds and the host ejects before it is read back
    };

    GadgetPlan plan;
    Instant now{1h};
    std::map<int, LunModel> luns;
    std::map<int, JournalEntry> journal;
    std::deque<GadgetAction> held;
    bool hold = false;
    DrainAnswer drain{Kind::answered, Outcome::drained, ""};
    std::vector<std::string> trace;         // what was done, without looking
    std::map<std::string, Epoch> released;  // the highest epoch of each drive whose release a test has seen
    std::uint64_t version = 0;
    Term term = 1;

    explicit Blade(std::vector<DriveKind> kinds = {DriveKind::disk}) {
        for (int slot = 0; slot < static_cast<int>(kinds.size()); ++slot) {
            luns[slot];
            add_slot(plan, slot, kinds[static_cast<std::size_t>(slot)], {});
        }
        plan.mount = "/srv/drivebay";
    }

    void feed(const GadgetEvent& event) {
        std::vector<GadgetAction> actions = step(plan, now, event);
        held.insert(held.end(), actions.begin(), actions.end());
        while (!hold && !held.empty()) {
            act();
        }
    }

    // Carries out the oldest action and feeds its result.
    void act() {
        GadgetAction action = held.front();
        held.pop_front();
        if (auto* record = std::get_if<Record>(&action)) {
            journal[record->slot] = record->entry;
        } else if (auto* inspect = std::get_if<Inspect>(&action)) {
            feed(Inspected{inspect->slot, luns[inspect->slot].file});
        } else if (auto* insert = std::get_if<Insert>(&action)) {
            do_insert(*insert);
        } else if (auto* eject = std::get_if<Eject>(&action)) {
            do_eject(*eject);
        } else if (auto* question = std::get_if<Drain>(&action)) {
            trace.push_back(fmt::format("drain {} {}@{}", question->slot, question->drive, question->epoch));
            feed(Drained{question->slot, drain});
        }
    }

    void do_insert(const Insert& order) {
        LunModel& lun = luns[order.slot];
        trace.push_back(fmt::format("insert {} {}@{} {}{}", order.slot, order.drive, order.epoch,
                                    order.cdrom ? "cdrom " : "", order.read_only ? "ro" : "rw"));
        BOOST_REQUIRE_MESSAGE(order.epoch > released[order.drive], "inserted again after its release");
        BOOST_REQUIRE_MESSAGE(lun.file.empty(), "inserted into a LUN that is not empty");
        BOOST_REQUIRE(journal[order.slot].phase == JournalEntry::Phase::inserting);
        if (lun.insert_error == 0 && !lun.swallow) {
            lun.file = fmt::format("/srv/drivebay/{}@{}", order.drive, order.epoch);
        }
        feed(Inserted{order.slot, Error{lun.insert_error, lun.insert_error ? "no insert" : ""}, lun.file});
    }

    void do_eject(const Eject& order) {
        LunModel& lun = luns[order.slot];
        trace.push_back(fmt::format("eject {}{}", order.slot, order.force ? " by force" : ""));
        bool was_empty = lun.file.empty();
        bool refused = !was_empty && lun.locked && !order.force;
        if (!refused) {
            lun.file.clear();
            lun.locked = false;
        }
        feed(Ejected{order.slot, was_empty, refused ? Error{EBUSY, "locked"} : Error{}, lun.file, order.policy});
    }

    void sources(std::optional<SourceStates> states) { feed(SourcesSeen{std::move(states), now + 1ns}); }

    void desire(std::vector<protocol::DesiredSlot> slots) { feed(DesiredArrived{{term, ++version, std::move(slots)}}); }

    // Lets time pass, each deadline at its time.
    void pass(Duration time) {
        Instant end = now + time;
        for (auto next = next_deadline(plan); next && *next <= end; next = next_deadline(plan)) {
            BOOST_REQUIRE_MESSAGE(*next > now || plan.stepped_at < now, "a deadline that does not move");
            now = std::max(now, *next);
            feed(Tick{});
        }
        now = end;
        feed(Tick{});
    }

    protocol::ObservedSlot slot(int id = 0) const {
        for (const protocol::ObservedSlot& report : observed(plan).slots) {
            if (report.slot == id) {
                return report;
            }
        }
        BOOST_FAIL("slot " << id << " is not reported");
        return {};
    }

    // A new daemon on the same kernel, with the journal as it was on the disk.
    void restart() {
        GadgetPlan fresh;
        fresh.mount = plan.mount;
        fresh.limits = plan.limits;
        for (const auto& [id, slot] : plan.slots) {
            add_slot(fresh, id, slot.kind, journal[id]);
        }
        plan = fresh;
        held.clear();
        trace.clear();
        feed(Tick{});
    }
};

protocol::DesiredSlot want(int slot, const std::string& drive, Epoch epoch, Mode access = Mode::write,
                           bool eject = false, DriveKind kind = DriveKind::disk) {
    return {slot, drive, epoch, access, kind, 1 << 20, eject};
}

using Trace = std::vector<std::string>;

Blade loaded_blade() {
    Blade blade;
    blade.feed(Tick{});
    blade.desire({want(0, "scratch", 7)});
    BOOST_REQUIRE_EQUAL(blade.slot().state, SlotState::loaded);
    blade.trace.clear();
    return blade;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gadget_planner)

BOOST_AUTO_TEST_CASE(a_desired_medium_is_inserted_and_recorded_before_and_after) {
    Blade blade;
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "scratch", 7, Mode::read)});
    BOOST_REQUIRE_EQUAL(blade.held.size(), 2);
    BOOST_CHECK(std::get<Record>(blade.held[0]).entry.phase == JournalEntry::Phase::inserting);
    BOOST_CHECK(std::get<Insert>(blade.held[1]).read_only);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    blade.hold = false;
    blade.feed(Tick{});
    BOOST_CHECK(blade.journal[0].phase == JournalEntry::Phase::loaded);
    BOOST_CHECK_EQUAL(blade.journal[0].medium.file, "/srv/drivebay/scratch@7");
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().drive, "scratch");
    BOOST_CHECK_EQUAL(blade.slot().epoch, 7);
}

BOOST_AUTO_TEST_CASE(nothing_is_put_in_or_out_before_the_arbiter_was_heard) {
    Blade blade;
    blade.luns[0].file = "/srv/drivebay/scratch@7";
    blade.feed(Tick{});
    blade.pass(10s);
    BOOST_CHECK(blade.trace.empty());
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().epoch, 7);
}

BOOST_AUTO_TEST_CASE(a_slot_that_was_not_read_yet_is_not_called_empty) {
    Blade blade;
    blade.hold = true;
    blade.feed(Tick{});
    BOOST_CHECK(!all_seen(blade.plan));
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::offline);
    blade.pass(11s);
    BOOST_CHECK(all_seen(blade.plan));
}

BOOST_AUTO_TEST_CASE(a_host_eject_is_seen_drained_and_told_and_the_epoch_never_comes_back) {
    Blade blade = loaded_blade();
    blade.luns[0].file.clear();
    blade.pass(100ms);
    BOOST_CHECK(blade.trace == Trace{"drain 0 scratch@7"});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, true}));
    blade.desire({want(0, "scratch", 7)});
    blade.desire({want(0, "scratch", 6)});
    blade.pass(30s);
    BOOST_CHECK_EQUAL(blade.trace.size(), 1);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    blade.desire({want(0, "scratch", 8)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().epoch, 8);
}

BOOST_AUTO_TEST_CASE(the_release_is_not_told_before_drivebayfs_has_drained) {
    Blade blade = loaded_blade();
    blade.drain = {Kind::busy, Outcome::unknown, "a handle is open"};
    blade.luns[0].file.clear();
    blade.pass(15s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK(!blade.slot().last);
    blade.drain = {Kind::answered, Outcome::lost, ""};
    blade.pass(1s);
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK_EQUAL(blade.slot().last->outcome, Outcome::lost);
}

// The arbiter takes "empty" as an answer to the state that asks for an eject for: no host ever had it.
BOOST_AUTO_TEST_CASE(what_a_host_had_is_told_as_never_in_while_it_is_drained) {
    for (const bool restarted : {false, true}) {
        Blade blade = loaded_blade();
        blade.drain = {Kind::busy, Outcome::unknown, "a handle is open"};
        blade.luns[0].file.clear();
        blade.pass(100ms);
        if (restarted) {
            blade.restart();
        }
        blade.desire({want(0, "scratch", 7, Mode::write, true)});
        BOOST_CHECK_LT(observed(blade.plan).version, blade.version);
        blade.drain = {Kind::answered, Outcome::drained, ""};
        blade.pass(1s);
        BOOST_CHECK(blade.slot().last);
        BOOST_CHECK_EQUAL(observed(blade.plan).version, blade.version);
    }
}

BOOST_AUTO_TEST_CASE(what_may_have_been_in_is_told_as_never_in_while_it_is_in_doubt) {
    Blade blade;
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "scratch", 7)});
    blade.act();  // the record
    blade.restart();
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 0u);  // it has not been read yet
    blade.hold = false;
    blade.drain = {Kind::busy, Outcome::unknown, ""};
    blade.feed(Tick{});
    blade.pass(100ms);
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 0u);
    blade.drain = {Kind::answered, Outcome::drained, "", true};
    blade.pass(1s);
    BOOST_CHECK((blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, true}));
    BOOST_CHECK_EQUAL(observed(blade.plan).version, blade.version);
}

BOOST_AUTO_TEST_CASE(what_is_being_drained_in_one_slot_is_not_inserted_in_another) {
    Blade blade({DriveKind::disk, DriveKind::disk});
    blade.feed(Tick{});
    blade.desire({want(0, "scratch", 7)});
    blade.drain = {Kind::busy, Outcome::unknown, ""};
    blade.desire({want(1, "scratch", 7)});
    blade.pass(5s);
    BOOST_CHECK_EQUAL(blade.slot(1).state, SlotState::empty);
    blade.desire({want(1, "scratch", 8)});
    BOOST_CHECK_EQUAL(blade.slot(1).state, SlotState::loaded);
}

BOOST_AUTO_TEST_CASE(a_drain_that_never_ends_is_told_as_unknown_at_its_limit) {
    Blade blade = loaded_blade();
    blade.drain = {Kind::busy, Outcome::unknown, "a handle is open"};
    blade.desire({});
    blade.pass(19s);
    BOOST_CHECK(!blade.slot().last);
    blade.pass(2s);
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK_EQUAL(blade.slot().last->outcome, Outcome::unknown);
}

BOOST_AUTO_TEST_CASE(a_drivebayfs_that_is_gone_does_not_hold_the_release_for_long) {
    Blade blade = loaded_blade();
    blade.drain = {Kind::unreachable, Outcome::unknown, "no socket"};
    blade.desire({});
    blade.pass(4s);
    BOOST_CHECK(!blade.slot().last);
    blade.pass(2s);
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK_EQUAL(blade.slot().last->outcome, Outcome::unknown);
}

BOOST_AUTO_TEST_CASE(a_polite_eject_waits_at_a_locked_door_and_says_so) {
    Blade blade = loaded_blade();
    blade.luns[0].locked = true;
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    BOOST_CHECK(blade.slot().host_locked);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().error, "");
    blade.pass(3s);
    BOOST_CHECK(blade.slot().host_locked);
    BOOST_CHECK_GE(blade.trace.size(), 10);
    blade.luns[0].locked = false;
    blade.pass(300ms);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, false}));
}

BOOST_AUTO_TEST_CASE(an_eject_that_is_no_longer_asked_is_not_tried_again) {
    Blade blade = loaded_blade();
    blade.luns[0].locked = true;
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    blade.desire({want(0, "scratch", 7)});
    blade.trace.clear();
    blade.pass(5s);
    BOOST_CHECK(blade.trace.empty());
    BOOST_CHECK(!blade.slot().host_locked);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
}

BOOST_AUTO_TEST_CASE(a_host_that_ejects_while_asked_is_a_host_eject) {
    Blade blade = loaded_blade();
    blade.luns[0].locked = true;
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    blade.luns[0].file.clear();
    blade.luns[0].locked = false;
    blade.pass(300ms);
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK(blade.slot().last->by_host);
}

BOOST_AUTO_TEST_CASE(a_host_that_is_faster_than_our_eject_is_a_host_eject) {
    Blade blade = loaded_blade();
    blade.hold = true;
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    blade.luns[0].file.clear();
    blade.hold = false;
    blade.feed(Tick{});
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK(blade.slot().last->by_host);
}

BOOST_AUTO_TEST_CASE(what_is_not_listed_goes_out_through_a_locked_door) {
    Blade blade = loaded_blade();
    blade.luns[0].locked = true;
    blade.desire({});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7"}));
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    BOOST_CHECK(!blade.slot().last->by_host);
}

BOOST_AUTO_TEST_CASE(another_medium_is_inserted_only_after_the_old_one_was_drained) {
    Blade blade = loaded_blade();
    blade.desire({want(0, "install", 3, Mode::read)});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7", "insert 0 install@3 ro"}));
    BOOST_CHECK_EQUAL(blade.slot().drive, "install");
    BOOST_CHECK_EQUAL(blade.slot().last->drive, "scratch");
}

BOOST_AUTO_TEST_CASE(a_new_epoch_of_the_same_drive_is_a_new_medium) {
    Blade blade = loaded_blade();
    blade.desire({want(0, "scratch", 8)});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7", "insert 0 scratch@8 rw"}));
}

BOOST_AUTO_TEST_CASE(a_medium_that_never_got_in_is_still_released_when_asked) {
    Blade blade;
    blade.luns[0].insert_error = ENOENT;
    blade.feed(Tick{});
    blade.desire({want(0, "scratch", 7)});
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, false}));
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
}

BOOST_AUTO_TEST_CASE(unknown_is_believed_at_once_and_means_nothing_lost_only_for_what_was_never_in) {
    Blade blade = loaded_blade();
    blade.drain = {Kind::answered, Outcome::unknown, "never seen"};
    blade.desire({});
    BOOST_REQUIRE(blade.slot().last);
    BOOST_CHECK_EQUAL(blade.slot().last->outcome, Outcome::unknown);
    blade.luns[0].insert_error = ENOENT;
    blade.desire({want(0, "scratch", 8)});
    blade.desire({want(0, "scratch", 8, Mode::write, true)});
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 8, Outcome::drained, false}));
}

BOOST_AUTO_TEST_CASE(a_failed_insert_is_told_with_its_sentence_and_tried_again_ever_more_slowly) {
    Blade blade;
    blade.feed(Tick{});
    blade.luns[0].insert_error = EINVAL;
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::error);
    BOOST_CHECK_EQUAL(blade.slot().error, "no insert");
    BOOST_CHECK_EQUAL(blade.slot().drive, "scratch");
    BOOST_CHECK(blade.journal[0].phase == JournalEntry::Phase::none);
    blade.pass(1min);
    BOOST_CHECK_GE(blade.trace.size(), 12);
    BOOST_CHECK_LE(blade.trace.size(), 20);
    blade.luns[0].insert_error = 0;
    blade.pass(6s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().error, "");
}

BOOST_AUTO_TEST_CASE(a_failure_that_passes_by_itself_is_not_cried_out_at_once) {
    Blade blade;
    blade.feed(Tick{});
    blade.luns[0].insert_error = ENOENT;
    blade.desire({want(0, "scratch", 7)});
    blade.pass(1s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    blade.pass(1100ms);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::error);
    blade.desire({});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    BOOST_CHECK_EQUAL(blade.slot().error, "");
}

BOOST_AUTO_TEST_CASE(a_host_that_ejects_before_the_insert_was_read_back_is_heard) {
    Blade blade;
    blade.feed(Tick{});
    blade.luns[0].swallow = true;
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK_EQUAL(blade.slot().last->epoch, 7);
}

BOOST_AUTO_TEST_CASE(an_insert_whose_outcome_could_not_be_read_is_found_out) {
    Blade blade;
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "scratch", 7)});
    blade.act();  // the record
    blade.held.clear();
    blade.hold = false;
    blade.luns[0].file = "/srv/drivebay/scratch@7";
    blade.feed(Inserted{0, {EIO, "no insert"}, Error{EIO, "cannot read file"}});
    BOOST_CHECK_EQUAL(blade.slot().error, "cannot read file");
    blade.pass(200ms);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK(blade.trace.empty());
    BOOST_CHECK(blade.journal[0].phase == JournalEntry::Phase::loaded);
}

BOOST_AUTO_TEST_CASE(an_older_desired_state_is_not_taken) {
    Blade blade = loaded_blade();
    blade.feed(DesiredArrived{{1, 0, {}}});
    blade.feed(DesiredArrived{{0, 99, {}}});
    BOOST_CHECK(blade.trace.empty());
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 1);
    blade.feed(LinkBegan{});
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 0);
    blade.feed(DesiredArrived{{1, 1, {}}});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
}

BOOST_AUTO_TEST_CASE(an_insert_under_way_is_not_answered_away_by_a_newer_desired_state) {
    Blade blade;
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 1);
    blade.desire({want(0, "scratch", 7, Mode::write, true)});
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 1);
    blade.hold = false;
    blade.feed(Tick{});
    BOOST_CHECK_EQUAL(observed(blade.plan).version, 2);
    BOOST_CHECK_EQUAL(blade.slot().last->epoch, 7);
}

BOOST_AUTO_TEST_CASE(a_repeated_desired_state_changes_nothing) {
    Blade blade = loaded_blade();
    for (int i = 0; i < 5; ++i) {
        blade.feed(DesiredArrived{{1, 1, {want(0, "scratch", 7)}}});
    }
    BOOST_CHECK(blade.trace.empty());
}

BOOST_AUTO_TEST_CASE(a_restart_adopts_the_loaded_medium_without_touching_it) {
    Blade blade = loaded_blade();
    blade.restart();
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    blade.desire({want(0, "scratch", 7)});
    blade.pass(10s);
    BOOST_CHECK(blade.trace.empty());
}

BOOST_AUTO_TEST_CASE(a_restart_adopts_by_the_file_name_where_no_journal_is_left) {
    Blade blade = loaded_blade();
    blade.journal.clear();
    blade.restart();
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().drive, "scratch");
    BOOST_CHECK(blade.journal[0].phase == JournalEntry::Phase::loaded);
}

BOOST_AUTO_TEST_CASE(what_the_host_ejected_while_nobody_watched_is_not_put_in_again) {
    Blade blade = loaded_blade();
    blade.luns[0].file.clear();
    blade.restart();
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, true}));
    blade.desire({want(0, "scratch", 7)});
    blade.pass(10s);
    BOOST_CHECK((blade.trace == Trace{"drain 0 scratch@7"}));
}

BOOST_AUTO_TEST_CASE(a_release_survives_a_restart) {
    Blade blade = loaded_blade();
    blade.luns[0].file.clear();
    blade.pass(100ms);
    blade.restart();
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_REQUIRE(blade.slot().last);
    blade.desire({want(0, "scratch", 7)});
    blade.pass(10s);
    BOOST_CHECK(blade.trace.empty());
}

BOOST_AUTO_TEST_CASE(a_drain_cut_by_a_restart_is_taken_up_again) {
    Blade blade = loaded_blade();
    blade.drain = {Kind::busy, Outcome::unknown, ""};
    blade.desire({});
    BOOST_REQUIRE(blade.journal[0].phase == JournalEntry::Phase::leaving);
    blade.drain = {Kind::answered, Outcome::drained, ""};
    blade.restart();
    BOOST_CHECK((blade.trace == Trace{"drain 0 scratch@7"}));
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, false}));
}

BOOST_AUTO_TEST_CASE(an_insert_cut_by_a_restart_is_found_out) {
    for (bool came_to_pass : {false, true}) {
        Blade blade;
        blade.feed(Tick{});
        blade.hold = true;
        blade.desire({want(0, "scratch", 7)});
        blade.act();  // the record
        blade.luns[0].file = came_to_pass ? "/srv/drivebay/scratch@7" : "";
        blade.hold = false;
        blade.drain = {Kind::answered, Outcome::drained, "", false};
        blade.restart();
        blade.desire({want(0, "scratch", 7)});
        BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
        BOOST_CHECK((blade.trace == (came_to_pass ? Trace{} : Trace{"drain 0 scratch@7", "insert 0 scratch@7 rw"})));
        BOOST_CHECK(!blade.slot().last);
    }
}

BOOST_AUTO_TEST_CASE(an_eject_between_an_insert_and_its_record_is_undone) {
    Blade blade;
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "scratch", 7)});
    blade.act();  // the record
    blade.hold = false;
    blade.drain = {Kind::answered, Outcome::drained, "", true};  // the LUN had the file open
    blade.restart();
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, true}));
}

BOOST_AUTO_TEST_CASE(what_the_host_put_out_is_put_in_again_with_another_epoch_of_the_same_wish) {
    Blade blade;
    blade.feed(Tick{});
    auto wanted = want(0, "scratch", 7);
    wanted.wish = 5;
    blade.desire({wanted});
    BOOST_REQUIRE_EQUAL(blade.slot().state, SlotState::loaded);
    blade.luns[0].file.clear();
    blade.pass(100ms);
    BOOST_REQUIRE_EQUAL(blade.slot().last.value().wish, 5u);
    wanted.epoch = 8;
    blade.desire({wanted});
    blade.restart();
    blade.desire({wanted});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    wanted.wish = 6;
    blade.desire({wanted});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
}

// An arbiter whose store was rolled back, or that was on a copy, asks for what its host put out a medium ago: it waits
// for that to be loaded until it hears why not.
BOOST_AUTO_TEST_CASE(what_the_host_put_out_comes_back_after_another_medium_was_in_the_slot) {
    for (const bool restarted : {false, true}) {
        Blade blade;
        blade.feed(Tick{});
        auto wanted = want(0, "scratch", 7);
        wanted.wish = 5;
        blade.desire({wanted});
        blade.luns[0].file.clear();
        blade.pass(100ms);
        auto other = want(0, "scratch", 8);
        other.wish = 6;
        blade.desire({other});
        BOOST_REQUIRE_EQUAL(blade.slot().state, SlotState::loaded);
        blade.desire({});
        BOOST_REQUIRE_EQUAL(blade.slot().last.value().epoch, 8u);
        if (restarted) {
            blade.restart();
        }
        wanted.epoch = 9;
        blade.desire({wanted});
        blade.pass(10s);
        BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
        BOOST_CHECK((blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::drained, true, 5}));
        BOOST_CHECK(blade.journal[0].last == blade.slot().last);
        wanted.epoch = 10;
        wanted.wish = 7;
        blade.desire({wanted});
        BOOST_CHECK_EQUAL(blade.slot().epoch, 10u);
    }
}

BOOST_AUTO_TEST_CASE(the_memory_of_a_hosts_ejects_grows_for_ever) {
    Blade blade;
    blade.feed(Tick{});
    for (Epoch epoch = 1; epoch <= 2 * ejects_kept; ++epoch) {
        auto wanted = want(0, "scratch", epoch);
        wanted.wish = epoch;
        blade.desire({wanted});
        blade.luns[0].file.clear();
        blade.pass(100ms);
    }
    BOOST_REQUIRE_EQUAL(blade.journal[0].put_out.size(), ejects_kept);
    BOOST_CHECK_EQUAL(blade.journal[0].put_out.back().wish, 2 * ejects_kept);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_not_ours_is_told_and_put_out_only_when_the_arbiter_speaks) {
    Blade blade;
    blade.luns[0].file = "/home/someone/holiday.iso";
    blade.feed(Tick{});
    blade.pass(5s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::error);
    BOOST_CHECK(blade.slot().error.find("/home/someone/holiday.iso") != std::string::npos);
    BOOST_CHECK(blade.trace.empty());
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "insert 0 scratch@7 rw"}));
    BOOST_CHECK(!blade.slot().last);
}

BOOST_AUTO_TEST_CASE(a_medium_swapped_behind_our_back_is_released_and_the_stranger_put_out) {
    Blade blade = loaded_blade();
    blade.luns[0].file = "/tmp/other.img";
    blade.pass(100ms);
    BOOST_CHECK((blade.trace == Trace{"drain 0 scratch@7", "eject 0 by force"}));
    BOOST_CHECK_EQUAL(blade.slot().last->epoch, 7);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
}

BOOST_AUTO_TEST_CASE(a_hung_lun_shows_as_offline_and_comes_back) {
    Blade blade = loaded_blade();
    blade.hold = true;
    blade.pass(200ms);
    blade.desire({});
    blade.pass(9s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    blade.pass(2s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::offline);
    BOOST_CHECK(blade.slot().error.find("hangs") != std::string::npos);
    blade.hold = false;
    blade.feed(Tick{});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    BOOST_CHECK_EQUAL(blade.slot().last->epoch, 7);
}

BOOST_AUTO_TEST_CASE(one_hung_slot_does_not_hold_the_others) {
    Blade blade({DriveKind::disk, DriveKind::disk});
    blade.feed(Tick{});
    blade.hold = true;
    blade.desire({want(0, "one", 1)});
    blade.held.clear();  // slot 0 never answers
    blade.hold = false;
    blade.desire({want(0, "one", 1), want(1, "two", 2)});
    BOOST_CHECK_EQUAL(blade.slot(1).state, SlotState::loaded);
}

BOOST_AUTO_TEST_CASE(a_source_out_of_reach_is_told_and_an_ended_one_put_out) {
    Blade blade = loaded_blade();
    blade.sources(SourceStates{{{"scratch", 7}, SourceState::offline}});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::offline);
    blade.sources(SourceStates{{{"scratch", 7}, SourceState::online}});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    blade.drain = {Kind::answered, Outcome::lost, ""};
    blade.sources(SourceStates{{{"scratch", 7}, SourceState::ended}});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7"}));
    BOOST_CHECK((*blade.slot().last == protocol::LastMedium{"scratch", 7, Outcome::lost, false}));
    blade.pass(10s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
}

BOOST_AUTO_TEST_CASE(a_reset_by_the_host_leaves_the_installer_in_its_slot_for_ever_or_takes_it_too_early) {
    Blade blade;
    blade.feed(Tick{});
    blade.desire({{0, "scratch", 7, Mode::write, DriveKind::disk, 1 << 20, false, 5}});
    blade.trace.clear();
    blade.plan.limits.detach_on_reset = {0};
    blade.plan.limits.reset_after = 300s;
    blade.pass(299s);
    blade.feed(HostReset{});
    blade.pass(10s);
    BOOST_CHECK(blade.trace.empty());
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    blade.luns[0].locked = true;
    blade.feed(HostReset{});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7"}));
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK(blade.slot().last->by_host);
    BOOST_CHECK(blade.slot().error.find("the host has reset the USB device") != std::string::npos);
    // It stays out for the same wish, and says why after a restart too.
    blade.desire({{0, "scratch", 8, Mode::write, DriveKind::disk, 1 << 20, false, 5}});
    blade.restart();
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK(blade.slot().error.find("the host has reset the USB device") != std::string::npos);
    // Another medium is another story.
    blade.desire({want(0, "scratch", 9)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    BOOST_CHECK_EQUAL(blade.slot().error, "");
    blade.luns[0].file.clear();
    blade.pass(1s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK_EQUAL(blade.slot().error, "");
}

BOOST_AUTO_TEST_CASE(a_reset_puts_out_what_is_to_be_kept) {
    Blade blade({DriveKind::disk, DriveKind::disk});
    blade.plan.limits.detach_on_reset = {1};
    blade.feed(Tick{});
    blade.desire({want(0, "scratch", 7), want(1, "install", 3)});
    blade.trace.clear();
    blade.feed(HostReset{});
    BOOST_CHECK((blade.trace == Trace{"eject 1 by force", "drain 1 install@3"}));
    BOOST_CHECK_EQUAL(blade.slot(0).state, SlotState::loaded);
    // The slot was empty at a reset: that is no reset of what comes next.
    blade.feed(HostReset{});
    blade.desire({want(0, "scratch", 7), want(1, "install", 4)});
    blade.pass(10s);
    BOOST_CHECK_EQUAL(blade.slot(1).state, SlotState::loaded);
}

BOOST_AUTO_TEST_CASE(a_restart_of_the_daemon_begins_the_time_before_a_reset_counts_anew) {
    Blade blade = loaded_blade();
    blade.plan.limits.detach_on_reset = {0};
    blade.plan.limits.reset_after = 300s;
    blade.pass(200s);
    blade.restart();
    blade.desire({want(0, "scratch", 7)});
    blade.pass(101s);
    blade.feed(HostReset{});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
}

BOOST_AUTO_TEST_CASE(an_arbiters_eject_at_the_hosts_reset_is_told_as_the_hosts) {
    Blade blade = loaded_blade();
    blade.plan.limits.detach_on_reset = {0};
    blade.hold = true;
    blade.desire({});
    blade.feed(HostReset{});
    blade.hold = false;
    while (!blade.held.empty()) {
        blade.act();
    }
    blade.pass(1s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    BOOST_CHECK(!blade.slot().last->by_host);
}

BOOST_AUTO_TEST_CASE(a_reset_before_the_arbiter_was_heard_is_forgotten) {
    Blade blade = loaded_blade();
    blade.plan.limits.detach_on_reset = {0};
    blade.restart();
    blade.feed(HostReset{});
    BOOST_CHECK(blade.trace.empty());
    blade.desire({want(0, "scratch", 7)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
}

BOOST_AUTO_TEST_CASE(a_host_that_reads_is_called_idle_or_one_that_does_not_is_not) {
    Blade blade = loaded_blade();
    blade.plan.limits.detach_on_idle = {0};
    blade.plan.limits.idle_after = 60s;
    std::uint64_t moved = 0;
    auto second = [&](std::optional<std::uint64_t> bytes, SourceState state = SourceState::online) {
        blade.pass(1s);
        Traffic traffic;
        if (bytes) {
            traffic[{"scratch", 7}] = *bytes;
        }
        blade.feed(SourcesSeen{SourceStates{{{"scratch", 7}, state}}, blade.now, traffic});
    };
    for (int at = 0; at < 100; ++at) {
        second(moved += 4096);
    }
    for (int at = 0; at < 100; ++at) {
        second(std::nullopt);  // a drivebayfs that counts nothing
    }
    for (int at = 0; at < 100; ++at) {
        second(moved, SourceState::offline);
    }
    for (int at = 0; at < 100; ++at) {
        blade.pass(1s);
        blade.sources(std::nullopt);
    }
    for (int at = 0; at < 59; ++at) {
        second(moved);
    }
    BOOST_CHECK(blade.trace.empty());
    // A door that is locked is no idle host.
    blade.luns[0].locked = true;
    second(moved);
    second(moved);
    BOOST_CHECK((blade.trace == Trace{"eject 0"}));
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    blade.luns[0].locked = false;
    for (int at = 0; at < 58; ++at) {
        second(moved);
    }
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::loaded);
    second(moved);
    second(moved);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::ejected_by_host);
    BOOST_CHECK(blade.slot().error.find("neither read nor written for 60 s") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_slot_that_waits_for_another_does_not_say_which) {
    Blade blade = loaded_blade();
    blade.plan.slots.at(0).siblings = "6, 7";
    blade.hold = true;
    blade.pass(15s);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::offline);
    BOOST_CHECK(blade.slot().error.find("shares its USB interface (6, 7)") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_medium_whose_drivebayfs_died_is_put_out_for_a_new_epoch) {
    Blade blade = loaded_blade();
    auto second = [&](std::optional<SourceStates> states) {
        blade.pass(1s);
        blade.sources(std::move(states));
    };
    for (int i = 0; i < 10; ++i) {
        second(std::nullopt);  // it does not answer: nothing is known
    }
    second(SourceStates{});
    second(SourceStates{});
    second(std::nullopt);
    second(SourceStates{});
    second(SourceStates{});
    second(SourceStates{{{"scratch", 7}, SourceState::online}});
    second(SourceStates{});
    second(SourceStates{});
    second(SourceStates{});
    BOOST_CHECK(blade.trace.empty());
    second(SourceStates{});
    BOOST_CHECK((blade.trace == Trace{"eject 0 by force", "drain 0 scratch@7"}));
    blade.trace.clear();
    blade.desire({want(0, "scratch", 8)});
    blade.feed(SourcesSeen{SourceStates{}, blade.now - 1ns});  // asked before it was loaded
    blade.pass(5s);
    blade.feed(SourcesSeen{SourceStates{}, blade.now - 6s});
    BOOST_CHECK((blade.trace == Trace{"insert 0 scratch@8 rw"}));
}

BOOST_AUTO_TEST_CASE(a_cdrom_slot_takes_only_what_a_cdrom_can_be) {
    Blade blade({DriveKind::cdrom, DriveKind::disk});
    blade.feed(Tick{});
    blade.desire({want(0, "install", 1, Mode::read, false, DriveKind::cdrom),
                  want(1, "golden", 1, Mode::read, false, DriveKind::cdrom)});
    BOOST_CHECK((blade.trace == Trace{"insert 0 install@1 cdrom ro", "insert 1 golden@1 ro"}));
    blade.desire({want(0, "disk", 1, Mode::read)});
    BOOST_CHECK_EQUAL(blade.slot(0).state, SlotState::error);
    protocol::DesiredSlot large = want(0, "large", 1, Mode::read, false, DriveKind::cdrom);
    large.size = largest_cdrom + 1;
    blade.desire({large});
    BOOST_CHECK_EQUAL(blade.slot(0).state, SlotState::error);
    BOOST_CHECK(blade.slot(0).error.find("disk slot") != std::string::npos);
    large.size = largest_cdrom;
    blade.desire({large});
    BOOST_CHECK_EQUAL(blade.slot(0).state, SlotState::loaded);
}

// The arbiter ends the link of a blade that does.
BOOST_AUTO_TEST_CASE(a_blade_tells_more_than_the_arbiter_takes) {
    Blade blade;
    blade.luns[0].insert_error = EIO;
    blade.feed(Tick{});
    blade.desire({want(0, "scratch", 7), want(16, "beyond", 7)});
    blade.pass(3s);
    BOOST_CHECK_EQUAL(blade.slot(0).state, SlotState::error);
    blade.plan.slots.at(0).failure.message = std::string(5000, 'x');
    BOOST_CHECK_EQUAL(blade.slot(0).error.size(), 1024);
    BOOST_CHECK(protocol::decode(protocol::encode(observed(blade.plan)), protocol::Side::blade).ok());
}

BOOST_AUTO_TEST_CASE(a_slot_that_does_not_exist_is_an_error_and_its_release_is_told) {
    Blade blade;
    blade.feed(Tick{});
    blade.desire({want(5, "scratch", 7)});
    BOOST_CHECK_EQUAL(blade.slot(5).state, SlotState::error);
    BOOST_CHECK(blade.slot(5).error.find("no slot 5") != std::string::npos);
    blade.desire({want(5, "scratch", 7, Mode::write, true)});
    BOOST_REQUIRE(blade.slot(5).last);
    BOOST_CHECK_EQUAL(blade.slot(5).last->epoch, 7);
    blade.desire({});
    BOOST_CHECK_EQUAL(observed(blade.plan).slots.size(), 1);
}

BOOST_AUTO_TEST_CASE(the_least_empty_time_is_kept) {
    Blade blade;
    blade.plan.limits.least_empty = 3s;
    blade.feed(Tick{});
    blade.desire({want(0, "one", 1)});
    BOOST_REQUIRE_EQUAL(blade.slot().state, SlotState::loaded);
    blade.desire({want(0, "two", 2)});
    blade.pass(2900ms);
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    blade.desire({want(0, "three", 3)});
    BOOST_CHECK_EQUAL(blade.slot().state, SlotState::empty);
    blade.pass(200ms);
    BOOST_CHECK_EQUAL(blade.slot().drive, "three");
}

BOOST_AUTO_TEST_CASE(an_idle_blade_is_looked_at_seldom_and_a_loaded_one_ten_times_a_second) {
    Blade blade;
    blade.feed(Tick{});
    BOOST_CHECK(*next_deadline(blade.plan) - blade.now <= 1s);
    blade.desire({want(0, "scratch", 7)});
    blade.pass(1s);
    BOOST_CHECK(*next_deadline(blade.plan) - blade.now <= 100ms);
}

// Every order of: desired states, host ejects, locks, failures, restarts, delayed results.
BOOST_AUTO_TEST_CASE(no_order_of_events_re_inserts_a_released_epoch_or_leaves_a_slot_unserved) {
    for (unsigned seed = 1; seed <= 400; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            std::mt19937 random(seed);
            auto draw = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
            Blade blade({DriveKind::disk, DriveKind::disk});
            Epoch epoch = 1;
            std::vector<protocol::DesiredSlot> wanted;
            blade.feed(Tick{});
            for (int round = 0; round < 120; ++round) {
                int slot = static_cast<int>(draw(2));
                switch (draw(10)) {
                    case 0:
                    case 1:
                        std::erase_if(wanted, [&](const auto& one) { return one.slot == slot; });
                        if (draw(3) != 0) {
                            wanted.push_back(want(slot, slot == 0 ? "a" : "b", draw(2) ? ++epoch : epoch));
                        }
                        blade.desire(wanted);
                        break;
                    case 2:
                        for (auto& one : wanted) {
                            one.eject = draw(2) != 0;
                        }
                        blade.desire(wanted);
                        break;
                    case 3:
                        blade.luns[slot].file.clear();
                        blade.luns[slot].locked = false;
                        break;
                    case 4: blade.luns[slot].locked = !blade.luns[slot].file.empty() && draw(2) != 0; break;
                    case 5: blade.luns[slot].insert_error = draw(2) ? ENOENT : 0; break;
                    case 6:
                        blade.drain = {static_cast<Kind>(draw(3)), draw(2) ? Outcome::drained : Outcome::unknown, ""};
                        break;
                    case 7: blade.hold = draw(2) != 0; break;
                    case 8: blade.restart(); break;
                    default: break;
                }
                blade.pass(std::chrono::milliseconds(draw(700)));
                for (int id = 0; id < 2; ++id) {
                    const protocol::ObservedSlot report = blade.slot(id);
                    const std::string& file = blade.luns[id].file;
                    if (report.last) {
                        Epoch& highest = blade.released[report.last->drive];
                        highest = std::max(highest, report.last->epoch);
                        std::string name = fmt::format("/{}@{}", report.last->drive, report.last->epoch);
                        BOOST_REQUIRE_MESSAGE(!file.ends_with(name), "released and yet in the LUN: " << file);
                    }
                }
            }
            // All is well again: what is wanted with a new epoch gets in.
            blade.hold = false;
            blade.drain = {Kind::answered, Outcome::drained, ""};
            blade.luns[0].insert_error = blade.luns[1].insert_error = 0;
            wanted = {want(0, "a", epoch + 1), want(1, "b", epoch + 2)};
            blade.desire(wanted);
            blade.pass(1min);
            for (int id = 0; id < 2; ++id) {
                BOOST_REQUIRE_EQUAL(blade.slot(id).state, SlotState::loaded);
                BOOST_REQUIRE_EQUAL(blade.slot(id).epoch, epoch + 1 + static_cast<Epoch>(id));
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
