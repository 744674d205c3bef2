#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "cli/lease_wait.h"

using namespace drivebay::cli;
using nlohmann::json;

namespace {

json lease(const char* state, const char* slot_state = "empty") {
    return {{"id", 7},    {"drive", "scratch"}, {"blade", "blade02"},       {"mode", "write"}, {"epoch", 4u},
            {"slot", 1},  {"state", state},     {"slot_state", slot_state}, {"behind", json::array()},
            {"outcome", ""}, {"notice", ""}};
}

json behind_blade01() {
    json waiting = lease("waiting");
    waiting["epoch"] = 0u;
    waiting["behind"] = json::array({{{"blade", "blade01"}, {"mode", "write"}, {"epoch", 3}}});
    return waiting;
}

json blade(bool online, const char* state, const char* error, const char* drive = "scratch") {
    return {{"name", "blade02"},
            {"online", online},
            {"slots", json::array({{{"slot", 0}, {"state", "error"}, {"drive", "other"}, {"error", "not ours"}},
                                   {{"slot", 1}, {"state", state}, {"drive", drive}, {"error", error}}})}};
}

bool mentions(const Verdict& verdict, const char* part) { return verdict.sentence.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(cli_lease_wait)

BOOST_AUTO_TEST_CASE(present_returns_before_the_lun_is_loaded) {
    BOOST_CHECK(judge_presented(lease("held", "empty"), nullptr).progress == Progress::pending);
    BOOST_CHECK(judge_presented(lease("held", "ejected-by-host"), nullptr).progress == Progress::pending);
    BOOST_CHECK(judge_presented(lease("waiting"), nullptr).progress == Progress::pending);
    const Verdict loaded = judge_presented(lease("held", "loaded"), nullptr);
    BOOST_CHECK(loaded.progress == Progress::done);
    BOOST_TEST(loaded.sentence == "scratch is loaded on blade02, slot 1 (write, epoch 4)");
}

BOOST_AUTO_TEST_CASE(a_medium_that_is_loaded_but_no_longer_held_counts_as_presented) {
    BOOST_CHECK(judge_presented(lease("revoking", "loaded"), nullptr).progress == Progress::pending);
    BOOST_CHECK(judge_presented(lease("gone", "loaded"), nullptr).progress == Progress::failed);
}

BOOST_AUTO_TEST_CASE(who_is_before_a_waiter_is_not_told) {
    const Verdict queued = judge_presented(behind_blade01(), nullptr);
    BOOST_CHECK(queued.progress == Progress::queued);
    BOOST_TEST(queued.sentence == "scratch for blade02 waits behind blade01 (write)");
    json more = behind_blade01();
    more["behind"].push_back({{"blade", "blade03"}, {"mode", "read"}, {"epoch", 0}});
    more["behind"].push_back({{"blade", "blade04"}, {"mode", "read"}, {"epoch", 0}});
    BOOST_TEST(behind_whom(more) == "blade01 (write), blade03 (read) and blade04 (read)");
}

BOOST_AUTO_TEST_CASE(a_blade_that_asks_for_more_access_is_told_to_wait_for_itself) {
    json upgrade = behind_blade01();
    upgrade["blade"] = "blade01";
    BOOST_CHECK(judge_presented(upgrade, nullptr).progress == Progress::pending);
    upgrade["behind"].push_back({{"blade", "blade03"}, {"mode", "read"}, {"epoch", 2}});
    BOOST_TEST(judge_presented(upgrade, nullptr).sentence == "scratch for blade01 waits behind blade03 (read)");
}

BOOST_AUTO_TEST_CASE(present_waits_for_a_blade_that_is_switched_off) {
    const Verdict offline = judge_presented(lease("held"), blade(false, "empty", ""));
    BOOST_CHECK(offline.progress == Progress::offline);
    BOOST_TEST(mentions(offline, "will be loaded when the blade connects"));
    BOOST_CHECK(judge_presented(lease("waiting"), blade(false, "empty", "")).progress == Progress::offline);
    BOOST_CHECK(judge_presented(behind_blade01(), blade(false, "empty", "")).progress == Progress::queued);
}

BOOST_AUTO_TEST_CASE(a_load_error_on_the_blade_is_waited_out) {
    const Verdict failed = judge_presented(lease("held", "error"), blade(true, "error", "smaller than one block"));
    BOOST_CHECK(failed.progress == Progress::failed);
    BOOST_TEST(failed.sentence == "blade02, slot 1 could not load scratch: smaller than one block");
}

BOOST_AUTO_TEST_CASE(a_load_error_that_the_lease_tells_itself_is_waited_out) {
    json failed = lease("held", "error");
    failed["outcome"] = "no such file";
    const Verdict verdict = judge_presented(failed, nullptr);
    BOOST_CHECK(verdict.progress == Progress::failed);
    BOOST_TEST(verdict.sentence == "blade02, slot 1 could not load scratch: no such file");
}

BOOST_AUTO_TEST_CASE(the_error_of_another_medium_is_taken_for_ours) {
    BOOST_CHECK(judge_presented(lease("held"), blade(true, "error", "old", "another")).progress == Progress::pending);
    BOOST_CHECK(judge_presented(lease("held"), blade(true, "empty", "", "")).progress == Progress::pending);
}

BOOST_AUTO_TEST_CASE(the_reason_why_a_lease_ended_is_swallowed) {
    json gone = lease("gone");
    gone["outcome"] = "blade01's host has locked the door";
    const Verdict failed = judge_presented(gone, nullptr);
    BOOST_CHECK(failed.progress == Progress::failed);
    BOOST_TEST(failed.sentence == "blade01's host has locked the door");
    BOOST_TEST(!judge_presented(lease("gone"), nullptr).sentence.empty());
}

BOOST_AUTO_TEST_CASE(a_refused_withdrawal_counts_as_done) {
    BOOST_CHECK(judge_withdrawn(lease("revoking", "loaded")).progress == Progress::pending);
    json held = lease("held", "loaded");
    held["outcome"] = "blade02's host has locked the door";
    const Verdict kept = judge_withdrawn(held);
    BOOST_CHECK(kept.progress == Progress::failed);
    BOOST_TEST(kept.sentence == "blade02's host has locked the door");
    BOOST_CHECK(judge_withdrawn(lease("gone")).progress == Progress::done);
}

BOOST_AUTO_TEST_CASE(an_id_that_is_text_or_number_makes_a_wrong_url) {
    BOOST_TEST(id_of(json{{"id", 7}}) == "7");
    BOOST_TEST(id_of(json{{"id", "a7"}}) == "a7");
}

BOOST_AUTO_TEST_SUITE_END()
