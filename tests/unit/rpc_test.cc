#define BOOST_TEST_DYN_LINK
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <future>
#include <optional>
#include <thread>

#include "lib/base/fd.h"
#include "lib/rpc/client.h"
#include "lib/rpc/server.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::rpc {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A server on a thread of its own: /echo, /slow (answered by finish()), /drop; a WebSocket echoes.
struct Served {
    Served() : thread([this] { reactor.run(); }) {
        run([this] {
            server.emplace(reactor, Handlers{[this](Request request, Reply reply) { answer(std::move(request), reply); },
                                             [this](const std::string&, std::shared_ptr<Channel> channel) {
                                                 channel->on_message = [channel = channel.get()](const json& message) {
                                                     channel->send(message);
                                                 };
                                                 channels.push_back(std::move(channel));
                                             }});
            BOOST_TEST(server->listen(endpoint).ok());
        });
    }
    ~Served() {
        run([this] {
            channels.clear();
            server.reset();
        });
        reactor.stop();
        thread.join();
    }
    void answer(Request request, const Reply& reply) {
        if (request.path == "/echo") {
            reply({200, json{{"method", request.method}, {"query", request.query}, {"body", request.body},
                             {"local", request.peer.local}}.dump()});
        } else if (request.path == "/slow") {
            later = reply;
        }
    }
    // On the server's thread, and waited for.
    void run(std::function<void()> work) {
        std::promise<void> done;
        reactor.post([&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }
    TemporaryFolder folder;
    Endpoint endpoint{folder.path() + "/socket", "", 0};
    Reactor reactor;
    std::optional<Server> server;
    std::vector<std::shared_ptr<Channel>> channels;
    Reply later;
    std::thread thread;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(rpc)

BOOST_AUTO_TEST_CASE(addresses_are_read_as_people_write_them) {
    BOOST_TEST(parse_endpoint("/run/x.sock")->path == "/run/x.sock");
    BOOST_TEST(parse_endpoint("unix:/run/x.sock")->path == "/run/x.sock");
    BOOST_TEST(parse_endpoint("http://mm.example:80/")->port == 80);
    BOOST_TEST(parse_endpoint("mm.example")->port == default_api_port);
    BOOST_TEST(parse_endpoint("[::1]:5")->host == "::1");
    BOOST_TEST(to_string(*parse_endpoint("[::1]:5")) == "[::1]:5");
    BOOST_TEST(parse_endpoint("unix:5")->host == "unix");
    for (const char* text : {"", "unix:", "unix:x", ":80", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]x", "[[]", "a b"}) {
        BOOST_TEST(!parse_endpoint(text).ok(), text);
    }
}

BOOST_AUTO_TEST_CASE(a_request_reaches_its_handler_whole_and_its_answer_comes_back) {
    Served served;
    const auto answer = call(served.endpoint, "POST", "/echo?a=1&b=x%20y", "{}", 5s);
    BOOST_REQUIRE(answer.ok());
    const json body = json::parse(answer->body);
    BOOST_TEST(answer->status == 200);
    BOOST_TEST(body["query"]["b"] == "x y");
    BOOST_TEST(body["body"] == "{}");
    BOOST_TEST(body["local"] == true);
}

BOOST_AUTO_TEST_CASE(a_handler_that_forgets_to_answer_does_not_hang_its_caller) {
    Served served;
    const auto answer = call(served.endpoint, "GET", "/drop", "", 5s);
    BOOST_REQUIRE(answer.ok());
    BOOST_TEST(answer->status == 500);
}

BOOST_AUTO_TEST_CASE(a_caller_stops_waiting_at_its_limit_and_a_late_answer_harms_nobody) {
    Served served;
    const auto answer = call(served.endpoint, "GET", "/slow", "", 50ms);
    BOOST_REQUIRE(!answer.ok());
    BOOST_TEST(answer.error().code == ETIMEDOUT);
    served.run([&] { served.later({200, "{}"}); });
    BOOST_TEST(call(served.endpoint, "GET", "/echo", "", 5s).ok());
}

BOOST_AUTO_TEST_CASE(nobody_listening_is_told_as_such) {
    const TemporaryFolder folder;
    const auto answer = call(Endpoint{folder.path() + "/none", "", 0}, "GET", "/", "", 5s);
    BOOST_REQUIRE(!answer.ok());
    BOOST_TEST(answer.error().code == ENOENT);
}

BOOST_AUTO_TEST_CASE(a_link_comes_back_by_itself_after_its_peer_dropped_it) {
    Served served;
    Reactor reactor;
    int opened = 0;
    int echoed = 0;
    std::unique_ptr<Link> link;
    link = std::make_unique<Link>(reactor, served.endpoint, "/v1/link",
                                  Link::Callbacks{[&] {
                                                      ++opened;
                                                      link->send(json{{"n", opened}});
                                                  },
                                                  [&](const json& message) {
                                                      BOOST_TEST(message["n"] == opened);
                                                      if (++echoed == 2) {
                                                          reactor.stop();
                                                          return;
                                                      }
                                                      served.run([&] { served.channels.front()->close("enough"); });
                                                  },
                                                  {}});
    Timer limit(reactor);
    limit.set(10s, [&] { reactor.stop(); });
    reactor.run();
    BOOST_TEST(opened == 2);
    BOOST_TEST(echoed == 2);
}

BOOST_AUTO_TEST_CASE(a_server_without_descriptors_spins_or_never_answers_again) {
    Served served;
    BOOST_TEST_REQUIRE(call(served.endpoint, "GET", "/echo", "", 10s).ok());
    const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit few{128, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    std::vector<UniqueFd> taken;
    for (UniqueFd one(::dup(client.get())); one; one.reset(::dup(client.get()))) {
        taken.push_back(std::move(one));
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    served.endpoint.path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_TEST(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    clockid_t used_by_server{};
    BOOST_TEST_REQUIRE(::pthread_getcpuclockid(served.thread.native_handle(), &used_by_server) == 0);
    const auto used = [&] {
        timespec time{};
        ::clock_gettime(used_by_server, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    };
    std::promise<void> over;
    std::optional<Timer> timer;
    const auto began = used();
    served.run([&] { timer.emplace(served.reactor).set(1s, [&] { over.set_value(); }); });
    over.get_future().wait();
    BOOST_TEST((used() - began < 100ms));
    served.run([&] { timer.reset(); });
    taken.clear();
    ::setrlimit(RLIMIT_NOFILE, &before);
    BOOST_TEST(call(served.endpoint, "GET", "/echo", "", 10s).ok());
}

BOOST_AUTO_TEST_CASE(a_timer_that_was_cancelled_never_fires) {
    Reactor reactor;
    bool fired = false;
    Timer cancelled(reactor);
    Timer last(reactor);
    cancelled.set(0ms, [&] { fired = true; });
    cancelled.cancel();
    last.set(1ms, [&] { reactor.stop(); });
    reactor.run();
    BOOST_TEST(!fired);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay::rpc
