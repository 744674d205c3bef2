// The blade's session against an arbiter that the test plays, over a Unix socket of its own.
#define BOOST_TEST_DYN_LINK
#include "gadgetd/arbiter_session.h"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/rpc/server.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::gadgetd;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Arbiter {
    TemporaryFolder temporary;
    const std::string folder = temporary.path();
    rpc::Reactor reactor;
    std::unique_ptr<rpc::Server> server;
    std::shared_ptr<rpc::Channel> blade;
    std::vector<json> hellos;
    std::vector<json> others;
    std::vector<std::string> closings;
    std::function<void(const json&)> on_message;
    std::vector<protocol::Desired> desired;
    std::function<void()> after_first;  // instead of stopping at the first desired state
    std::unique_ptr<ArbiterSession> session;
    rpc::Timer limit{reactor};
    bool late = false;

    Arbiter() {
        log::set_level(log::Level::error);
        rpc::Handlers handlers;
        handlers.on_channel = [this](const std::string& path, std::shared_ptr<rpc::Channel> channel) {
            BOOST_CHECK_EQUAL(path, "/v1/link/blade");
            blade = channel;
            channel->on_message = [this](const json& message) {
                (message.at("type") == "hello" ? hellos : others).push_back(message);
                on_message(message);
            };
            channel->on_close = [this](const std::string& reason) { closings.push_back(reason); };
        };
        server = std::make_unique<rpc::Server>(reactor, std::move(handlers));
        BOOST_REQUIRE(server->listen(endpoint()).ok());
    }
    ~Arbiter() {
        session.reset();
        server.reset();
    }

    rpc::Endpoint endpoint() const { return {folder + "/arbiter.sock", "", 0}; }

    void begin_session() {
        ArbiterSession::Callbacks callbacks;
        callbacks.observe = [] { return protocol::BladeObserved{0, "configured", "super-speed", {}}; };
        callbacks.on_begin = [] {};
        callbacks.on_desired = [this](const protocol::Desired& state) {
            desired.push_back(state);
            if (desired.size() == 1 && after_first) {
                reactor.post(after_first);
            } else {
                reactor.stop();
            }
        };
        session = std::make_unique<ArbiterSession>(reactor, endpoint(), "blade01", folder, std::move(callbacks));
    }

    void welcome(Term term, const std::string& id = "s1", std::int64_t ttl_ms = 10000) {
        blade->send({{"type", "welcome"}, {"session", id}, {"term", term}, {"ttl_ms", ttl_ms}});
    }
    void send_desired(Term term, const std::string& drive) {
        blade->send({{"type", "desired"},
                     {"term", term},
                     {"version", 1},
                     {"slots",
                      {{{"slot", 0},
                        {"drive", drive},
                        {"epoch", 7},
                        {"access", "read"},
                        {"kind", "disk"},
                        {"size", 512},
                        {"eject", false}}}}});
    }

    void run() {
        limit.set(10s, [this] {
            late = true;
            reactor.stop();
        });
        reactor.run();
        BOOST_REQUIRE_MESSAGE(!late, "nothing came in time");
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(arbiter_session)

BOOST_AUTO_TEST_CASE(the_holder_counts_from_sending_less_one_percent_and_a_quarter_second) {
    Instant sent{100s};
    BOOST_CHECK(holder_deadline(sent, 10s) == sent + 9650ms);
}

BOOST_AUTO_TEST_CASE(a_drive_name_that_leads_out_of_the_mount_is_refused) {
    protocol::Desired desired{1, 1, {{0, "../../etc/shadow", 7, Mode::read, DriveKind::disk, 512, false}}};
    BOOST_CHECK(!check_desired(desired).ok());
    desired.slots[0].drive = "install";
    BOOST_CHECK(check_desired(desired).ok());
    desired.slots[0].epoch = 0;
    BOOST_CHECK(!check_desired(desired).ok());
    desired.slots[0] = {-1, "install", 7, Mode::read, DriveKind::disk, 512, false};
    BOOST_CHECK(!check_desired(desired).ok());
}

BOOST_AUTO_TEST_CASE(a_restarted_daemon_resumes_its_session) {
    Arbiter arbiter;
    arbiter.on_message = [&](const json&) {
        arbiter.welcome(4);
        arbiter.send_desired(4, "install");
    };
    arbiter.after_first = [&] {
        arbiter.session.reset();
        arbiter.begin_session();
    };
    arbiter.begin_session();
    arbiter.run();
    BOOST_REQUIRE_EQUAL(arbiter.hellos.size(), 2);
    BOOST_CHECK(arbiter.hellos.at(0).at("session").is_null());
    BOOST_CHECK_EQUAL(arbiter.hellos.at(0).at("blade"), "blade01");
    BOOST_CHECK_EQUAL(arbiter.hellos.at(0).at("boot_id"), kernel_boot_id());
    BOOST_CHECK_EQUAL(arbiter.desired.at(0).slots.at(0).drive, "install");
    BOOST_CHECK_EQUAL(arbiter.hellos.at(1).at("session"), "s1");
    BOOST_CHECK_EQUAL(arbiter.hellos.at(1).at("term"), 4);
}

BOOST_AUTO_TEST_CASE(an_older_arbiter_is_not_obeyed) {
    Arbiter arbiter;
    arbiter.on_message = [&](const json&) {
        // The first hello is answered by the newer arbiter, the second by one that was given up, the third by the
        // newer.
        if (arbiter.hellos.size() == 2) {
            arbiter.welcome(3);
            arbiter.send_desired(3, "old");
            return;
        }
        arbiter.welcome(4);
        arbiter.send_desired(4, "new");
    };
    arbiter.after_first = [&] { arbiter.blade->close("again"); };
    arbiter.begin_session();
    arbiter.run();
    BOOST_REQUIRE_EQUAL(arbiter.desired.size(), 2);
    BOOST_CHECK_EQUAL(arbiter.desired[1].slots[0].drive, "new");
    BOOST_CHECK_EQUAL(arbiter.hellos.size(), 3);
}

BOOST_AUTO_TEST_CASE(a_session_is_renewed_within_a_third_of_its_time) {
    Arbiter arbiter;
    Instant welcomed{};
    arbiter.on_message = [&](const json& message) {
        if (message.at("type") == "hello") {
            welcomed = BootClock::now();
            arbiter.welcome(1, "s1", 1200);
        } else if (message.at("type") == "renew") {
            arbiter.blade->send({{"type", "renewed"}, {"seq", message.at("seq")}, {"ttl_ms", 1200}});
            if (message.at("seq") == 2) {
                arbiter.reactor.stop();
            }
        }
    };
    arbiter.begin_session();
    arbiter.run();
    BOOST_CHECK(BootClock::now() - welcomed < 1200ms);
    BOOST_CHECK(BootClock::now() - welcomed >= 790ms);
}

BOOST_AUTO_TEST_CASE(a_refused_blade_asks_again_later_and_not_in_a_rush) {
    Arbiter arbiter;
    Instant first{};
    arbiter.on_message = [&](const json&) {
        if (arbiter.hellos.size() == 1) {
            first = BootClock::now();
            arbiter.blade->send({{"type", "refused"}, {"reason", "there is no blade blade01"}});
            arbiter.blade->close("refused");
            return;
        }
        arbiter.welcome(1);
        arbiter.send_desired(1, "install");
    };
    arbiter.begin_session();
    arbiter.run();
    BOOST_CHECK_EQUAL(arbiter.hellos.size(), 2);
    BOOST_CHECK(BootClock::now() - first >= 900ms);
}

BOOST_AUTO_TEST_CASE(a_damaged_session_file_begins_a_new_session) {
    Arbiter arbiter;
    FILE* file = fopen((arbiter.folder + "/session.json").c_str(), "w");
    fputs(("{\"boot_id\":\"" + kernel_boot_id() + "\",\"session\":7}").c_str(), file);
    fclose(file);
    arbiter.on_message = [&](const json&) {
        arbiter.welcome(1);
        arbiter.send_desired(1, "install");
    };
    arbiter.begin_session();
    arbiter.run();
    BOOST_CHECK(arbiter.hellos.at(0).at("session").is_null());
}

BOOST_AUTO_TEST_SUITE_END()
