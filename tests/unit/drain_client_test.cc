// Questions to drivebayfs, which a server of the test plays over a Unix socket.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/drain_client.h"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/rpc/server.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::gadgetd;
using namespace std::chrono_literals;
using protocol::Outcome;
using Kind = DrainAnswer::Kind;

namespace {

struct Drivebayfs {
    TemporaryFolder temporary;
    const std::string folder = temporary.path();
    rpc::Reactor reactor;
    std::unique_ptr<rpc::Server> server;
    std::thread thread;
    rpc::Response answer;
    bool silent = false;
    std::vector<rpc::Reply> unanswered;
    rpc::Request asked;

    Drivebayfs() {
        rpc::Handlers handlers;
        handlers.on_request = [this](rpc::Request request, rpc::Reply reply) {
            asked = std::move(request);
            if (silent) {
                unanswered.push_back(std::move(reply));
            } else {
                reply(answer);
            }
        };
        server = std::make_unique<rpc::Server>(reactor, std::move(handlers));
        BOOST_REQUIRE(server->listen({folder + "/socket", "", 0}).ok());
        thread = std::thread([this] { reactor.run(); });
    }
    ~Drivebayfs() {
        reactor.stop();
        thread.join();
    }

    DrainClient client() const { return {rpc::Endpoint{folder + "/socket", "", 0}, "blade01"}; }
    DrainAnswer drain(int status, const std::string& body) {
        answer = {status, body};
        return client().drain("scratch", 7, 5s);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(drain_client)

BOOST_AUTO_TEST_CASE(each_outcome_is_understood_and_the_question_names_drive_blade_and_epoch) {
    Drivebayfs drivebayfs;
    for (Outcome outcome : {Outcome::drained, Outcome::lost, Outcome::unknown}) {
        DrainAnswer answer = drivebayfs.drain(
            200, nlohmann::json{{"outcome", protocol::to_string(outcome)}, {"error", "a sentence"}}.dump());
        BOOST_CHECK(answer.kind == Kind::answered);
        BOOST_CHECK(answer.outcome == outcome);
        BOOST_CHECK_EQUAL(answer.error, "a sentence");
    }
    BOOST_CHECK_EQUAL(drivebayfs.asked.path, "/v1/drain");
    BOOST_CHECK(nlohmann::json::parse(drivebayfs.asked.body) ==
                (nlohmann::json{{"drive", "scratch"}, {"blade", "blade01"}, {"epoch", 7}}));
}

BOOST_AUTO_TEST_CASE(what_is_no_answer_is_never_taken_for_drained) {
    Drivebayfs drivebayfs;
    for (auto [status, body] : {std::pair<int, const char*>{500, R"({"outcome":"drained","error":""})"},
                                {200, "drained"},
                                {200, "{}"},
                                {200, R"({"outcome":"fine"})"},
                                {200, R"({"outcome":7})"},
                                {404, R"({"error":"no such thing"})"}}) {
        DrainAnswer answer = drivebayfs.drain(status, body);
        BOOST_CHECK_MESSAGE(answer.kind == Kind::unreachable && answer.outcome == Outcome::unknown, body);
    }
}

BOOST_AUTO_TEST_CASE(a_drain_under_way_is_told_from_a_drivebayfs_that_is_gone) {
    Drivebayfs drivebayfs;
    drivebayfs.silent = true;
    BOOST_CHECK(drivebayfs.client().drain("scratch", 7, 200ms).kind == Kind::busy);
    DrainClient nobody(rpc::Endpoint{drivebayfs.folder + "/nothing", "", 0}, "blade01");
    BOOST_CHECK(nobody.drain("scratch", 7, 200ms).kind == Kind::unreachable);
}

BOOST_AUTO_TEST_CASE(the_views_of_this_blade_are_read_with_their_states) {
    Drivebayfs drivebayfs;
    drivebayfs.answer = {200, R"({"views":[
        {"drive":"a","epoch":1,"state":"online"},
        {"drive":"b","blade":"blade01","epoch":2,"state":"offline","read_bytes":4096,"written_bytes":512},
        {"drive":"c","blade":"blade01","epoch":3,"state":"ended"},
        {"drive":"d","blade":"blade02","epoch":4,"state":"online"}]})"};
    auto sources = drivebayfs.client().sources(5s);
    BOOST_REQUIRE(sources.ok());
    BOOST_CHECK((sources->states == SourceStates{{{"a", 1}, SourceState::online},
                                                 {{"b", 2}, SourceState::offline},
                                                 {{"c", 3}, SourceState::ended}}));
    BOOST_CHECK((sources->traffic == Traffic{{{"b", 2}, 4608}}));
    for (const char* body : {"", "[]", R"({"views":[{"drive":"a"}]})", R"({"views":[7]})"}) {
        drivebayfs.answer = {200, body};
        BOOST_CHECK_MESSAGE(!drivebayfs.client().sources(5s).ok(), body);
    }
}

BOOST_AUTO_TEST_SUITE_END()
