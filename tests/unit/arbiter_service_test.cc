// The whole arbiter over its real socket: operators by HTTP, a data path and a blade by WebSocket, a store on the disk.
#define BOOST_TEST_DYN_LINK
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>

#include "arbiter/service.h"
#include "arbiter/store/sqlite_store.h"
#include "lib/base/base64.h"
#include "lib/rpc/client.h"
#include "lib/rpc/identity_renewal.h"
#include "lib/tls/folder.h"
#include "lib/tls/token.h"
#include "tests/unit/lease_models.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

// The daemon on a thread of its own; the doubles of its counterparts live on the same reactor.
class Daemon {
public:
    explicit Daemon(std::vector<std::string> listen = {}) {
        settings_.socket = folder_.path() + "/arbiter.sock";
        settings_.state_dir = folder_.path() + "/state";
        settings_.audit_log = folder_.path() + "/audit.log";
        settings_.listen = std::move(listen);
        settings_.ttl_ms = 1000;
        settings_.withdraw_deadline_ms = 200;
        start();
    }
    ~Daemon() { stop(); }

    void restart() {
        stop();
        start();
    }

    // Runs `work` on the reactor's thread and waits for it.
    void run(const std::function<void()>& work) {
        std::promise<void> done;
        reactor_->post([&work, &done] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    // Asks as an operator does; the answer's status and object. Any thread.
    std::pair<int, json> ask(const std::string& method, const std::string& target, const json& body = nullptr) const {
        const rpc::Response response =
            rpc::call({settings_.socket, "", 0}, method, target, body.is_null() ? "" : body.dump(), 20s).value();
        return {response.status, json::parse(response.body)};
    }

    void connect_data_path() {
        run([this] {
            data_path_link_ = std::make_unique<rpc::Link>(
                *reactor_, rpc::Endpoint{settings_.socket, "", 0}, "/v1/link/datapath",
                rpc::Link::Callbacks{[this] { data_path_link_->send(protocol::encode(data_path.hello())); },
                                     [this](const json& message) { data_path_hears(message); }, nullptr});
        });
        settle("the data path is online", [this] { return service_->state().data_path_online; });
    }

    void connect_blade() { connect_blade({settings_.socket, "", 0}, {}); }
    void connect_blade(const rpc::Endpoint& arbiter, const rpc::Secure& secure) {
        run([&] {
            blade_link_ = std::make_unique<rpc::Link>(
                *reactor_, arbiter, "/v1/link/blade",
                rpc::Link::Callbacks{[this] { blade_link_->send(protocol::encode(blade.hello())); },
                                     [this](const json& message) { blade_hears(message); }, nullptr},
                secure);
        });
    }

    void report_blade() {
        run([this] { blade_link_->send(protocol::encode(blade.observed())); });
    }

    // Waits until `is_so` is true on the reactor's thread.
    void settle(const char* what, const std::function<bool()>& is_so) {
        const Instant limit = BootClock::now() + 20s;
        bool so = false;
        while (!so && BootClock::now() < limit) {
            run([&] { so = is_so(); });
            if (!so) {
                std::this_thread::yield();
            }
        }
        BOOST_REQUIRE_MESSAGE(so, what);
    }

    Service& service() { return *service_; }
    rpc::Reactor& reactor() { return *reactor_; }

    models::DataPath data_path;
    models::BladeModel blade{"blade01", {DriveKind::cdrom, DriveKind::disk}};
    std::string refused;
    json probe_answer{{"type", "probed"},   {"ok", true},   {"size", 1 << 20}, {"kind", "disk"},
                      {"read_only", false}, {"notice", ""}, {"error", ""}};
    TemporaryFolder folder_;

private:
    void start() {
        reactor_ = std::make_unique<rpc::Reactor>();
        service_ = std::make_unique<Service>(*reactor_, settings_, [](const std::string& why) { BOOST_FAIL(why); });
        BOOST_REQUIRE(service_->start().ok());
        thread_ = std::thread([this] { reactor_->run(); });
    }

    void stop() {
        run([this] {
            data_path_link_.reset();
            blade_link_.reset();
        });
        reactor_->stop();
        thread_.join();
        service_.reset();
        reactor_.reset();
    }

    // On the reactor's thread, where Boost.Test's own checks would race with the test's.
    static void must(bool is_so, const char* what) {
        if (!is_so) {
            throw std::logic_error(what);
        }
    }

    void data_path_hears(const json& message) {
        const auto decoded = protocol::decode(message, protocol::Side::data_path);
        must(decoded.ok(), "a message is understood");
        if (const auto* table = std::get_if<protocol::Table>(&*decoded)) {
            data_path.apply(*table);
            data_path_link_->send(protocol::encode(data_path.observed()));
        } else if (const auto* probe = std::get_if<protocol::Probe>(&*decoded)) {
            json answer = probe_answer;
            answer["id"] = probe->id;
            data_path_link_->send(answer);
        }
    }

    void blade_hears(const json& message) {
        const auto decoded = protocol::decode(message, protocol::Side::blade);
        must(decoded.ok(), "a message is understood");
        if (const auto* welcome = std::get_if<protocol::Welcome>(&*decoded)) {
            blade.session = welcome->session;
        } else if (const auto* no = std::get_if<protocol::Refused>(&*decoded)) {
            refused = no->reason;
        } else if (const auto* desired = std::get_if<protocol::Desired>(&*decoded)) {
            must(!blade.session.empty(), "a blade is welcomed before it is told anything");
            blade.apply(*desired);
            blade_link_->send(protocol::encode(blade.observed()));
        }
    }

    Settings settings_;
    std::unique_ptr<rpc::Reactor> reactor_;
    std::unique_ptr<Service> service_;
    std::unique_ptr<rpc::Link> data_path_link_;
    std::unique_ptr<rpc::Link> blade_link_;
    std::thread thread_;
};

// With an authority, and a folder that says who blade01 is; it comes by TLS.
struct Enrolled : Daemon {
    Enrolled() : Daemon({"127.0.0.1:14798"}) {
        BOOST_TEST(ask("POST", "/v1/pki", json::object()).first == 200);
        const tls::Token token = tls::parse_token(ask("POST", "/v1/enrolments", {{"blade", "blade01"}}).second["token"].get<std::string>()).value();
        const json body{{"blade", "blade01"},
                        {"secret", tls::to_base64url(token.secret)},
                        {"request", tls::make_request(tls::key_in(identity)->get()).value()}};
        const auto answer = rpc::call(network, "POST", "/v1/enroll", body.dump(), 20s,
                                      [&] { return tls::Context::enrolling(token.fingerprint); });
        BOOST_TEST(rpc::keep_answer(identity, answer, tls::Identity::Kind::blade, "blade01").ok());
        connect_blade(network, tls::secure_by(identity, ""));
        settle("blade01 is online", [this] { return is_online(); });
    }
    bool is_online() { return service().state().blades.at("blade01").connected; }
    std::string pki() const { return folder_.path() + "/state/pki"; }

    const rpc::Endpoint network{"", "127.0.0.1", 14798};
    const std::string identity = folder_.path() + "/identity";
};

struct Served : Daemon {
    Served() {
        connect_data_path();
        BOOST_TEST(ask("POST", "/v1/blades", {{"name", "blade01"}}).first == 200);
        connect_blade();
        settle("blade01 is online", [this] { return service().state().blades.at("blade01").connected; });
        BOOST_TEST(ask("POST", "/v1/drives", {{"name", "scratch"}, {"source", "/a.img"}}).first == 200);
        settle("scratch is open", [this] { return service().state().drives.at("scratch").observed.has_value(); });
    }

    json present(const char* access = "write") {
        const auto [status, answer] =
            ask("POST", "/v1/presentations", {{"drive", "scratch"}, {"blades", {"blade01"}}, {"access", access}});
        BOOST_REQUIRE_EQUAL(status, 200);
        return answer["presentations"][0];
    }

    json wait_for(const json& lease, const char* until) {
        return ask("GET", "/v1/leases/" + lease["id"].dump() + "?wait_ms=10000&until=" + until).second;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(arbiter_service)

BOOST_FIXTURE_TEST_CASE(a_presented_drive_never_gets_loaded, Served) {
    const json lease = wait_for(present(), "loaded");
    BOOST_TEST(lease["state"] == "held");
    BOOST_TEST(lease["slot_state"] == "loaded");
    BOOST_TEST(lease["slot"] == 1);
    BOOST_TEST(lease["epoch"] == 1);
    const json status = ask("GET", "/v1/status").second;
    BOOST_TEST(status["presentations"] ==
               json::parse(R"([{"drive":"scratch","blade":"blade01","access":"write","slot":1}])"));
    const json slot = status["blades"][0]["slots"][1];
    BOOST_TEST(slot["drive"] == "scratch");
    BOOST_TEST(slot["access"] == "write");
    BOOST_TEST(slot["state"] == "loaded");
    BOOST_TEST(status["drives"][0]["state"] == "ready");
    BOOST_TEST(status["leases"][0]["state"] == "held");
}

BOOST_FIXTURE_TEST_CASE(a_withdrawal_is_not_answered_when_it_is_over, Served) {
    wait_for(present(), "loaded");
    const auto [status, answer] = ask("POST", "/v1/withdrawals", {{"drive", "scratch"}, {"blades", "all"}});
    BOOST_REQUIRE_EQUAL(status, 200);
    const json lease = wait_for(answer["withdrawals"][0], "gone");
    BOOST_TEST(lease["state"] == "gone");
    BOOST_TEST(lease["outcome"].get<std::string>().find("all that was written is on the drive") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_backup_lacks_what_was_there_when_it_was_asked_for, Served) {
    std::vector<std::thread> askers;
    std::vector<std::string> copies(6);
    for (std::size_t i = 0; i < copies.size(); ++i) {
        BOOST_TEST(ask("POST", "/v1/blades", {{"name", "extra" + std::to_string(i)}}).first == 200);
        askers.emplace_back([this, &copies, i] {
            copies[i] = ask("POST", "/v1/backup", json::object()).second["base64"].get<std::string>();
        });
    }
    for (std::thread& asker : askers) {
        asker.join();
    }
    for (std::size_t i = 0; i < copies.size(); ++i) {
        const std::string file = folder_.path() + "/backup" + std::to_string(i);
        std::ofstream(file, std::ios::binary) << from_base64(copies[i]).value();
        const auto store = SqliteStore::open(file);
        BOOST_REQUIRE(store.ok());
        BOOST_TEST((*store)->load()->blades.contains("extra" + std::to_string(i)));
    }
    BOOST_TEST(ask("GET", "/v1/backup").first == 405);
}

BOOST_FIXTURE_TEST_CASE(a_withdrawal_from_a_locked_host_waits_for_ever, Served) {
    wait_for(present(), "loaded");
    run([this] { blade.slots.at(1).host_locked = true; });
    report_blade();
    const json asked = ask("POST", "/v1/withdrawals", {{"drive", "scratch"}, {"blades", {"blade01"}}}).second;
    const json lease = wait_for(asked["withdrawals"][0], "gone");
    BOOST_TEST(lease["state"] == "held");
    BOOST_TEST(lease["outcome"].get<std::string>().find("locked the door") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_restart_of_the_arbiter_loses_a_lease, Served) {
    wait_for(present(), "loaded");
    restart();
    connect_data_path();
    connect_blade();
    settle("blade01 is back", [this] { return service().state().blades.at("blade01").connected; });
    const json lease = wait_for(present(), "loaded");
    BOOST_TEST(lease["epoch"] == 1);
    BOOST_TEST(service().state().term == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_nobody_added_is_let_in, Daemon) {
    connect_blade();
    settle("it is refused", [this] { return !refused.empty(); });
    BOOST_TEST(refused.find("drivebay blade add blade01") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(what_the_probe_refuses_is_kept, Served) {
    run([this] {
        probe_answer["ok"] = false;
        probe_answer["error"] = "that is a folder";
    });
    const auto [status, answer] = ask("POST", "/v1/drives", {{"name", "x"}, {"source", "/"}});
    BOOST_TEST(status == 409);
    BOOST_TEST(answer["error"] == "that is a folder");
    BOOST_TEST(ask("GET", "/v1/drives/x").first == 404);
}

BOOST_FIXTURE_TEST_CASE(a_drive_is_added_that_nobody_could_look_at, Daemon) {
    const auto [status, answer] = ask("POST", "/v1/drives", {{"name", "x"}, {"source", "/a.img"}});
    BOOST_TEST(status == 503);
    BOOST_TEST(answer["error"].get<std::string>().find("drivebayfs") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_blade_is_in_for_good_when_shutting_it_out_was_not_kept, Enrolled) {
    std::filesystem::rename(pki(), pki() + ".away");
    BOOST_TEST(ask("DELETE", "/v1/enrolments/blade01").first == 503);
    std::filesystem::rename(pki() + ".away", pki());
    settle("it is back", [this] { return is_online(); });
    const auto [status, answer] = ask("DELETE", "/v1/enrolments/blade01");
    BOOST_TEST_REQUIRE(status == 200);
    BOOST_TEST(answer["revoked"] == 1);
    settle("it is out", [this] { return !is_online(); });
    BOOST_TEST(!rpc::call(network, "GET", "/v1/leases", "", 20s, tls::secure_by(identity, "")).ok());
}

BOOST_FIXTURE_TEST_CASE(a_forgotten_blades_key_is_good_for_the_next_of_its_name, Enrolled) {
    const auto remove = [this](const std::string& name) { return ask("DELETE", "/v1/blades/" + name); };
    const auto shut_out = [this](const std::string& name) { return ask("DELETE", "/v1/enrolments/" + name).first; };
    const auto [status, answer] = remove("blade01");
    BOOST_TEST(status == 409);
    BOOST_TEST(answer["error"].get<std::string>().find("drivebay unenroll blade01") != std::string::npos);
    BOOST_TEST(shut_out("blade01") == 200);
    BOOST_TEST(remove("blade01").first == 200);
    // A token that is out is as good as a certificate.
    BOOST_TEST(ask("POST", "/v1/enrolments", {{"blade", "blade02"}}).first == 200);
    BOOST_TEST(remove("blade02").first == 409);
    BOOST_TEST(shut_out("blade02") == 200);
    BOOST_TEST(shut_out("blade02") == 404);
    BOOST_TEST(remove("blade02").first == 200);
    BOOST_TEST(ask("POST", "/v1/blades", {{"name", "blade03"}}).first == 200);
    BOOST_TEST(remove("blade03").first == 200);
}

BOOST_FIXTURE_TEST_CASE(guessers_of_tokens_fill_the_audit_log, Daemon) {
    BOOST_TEST(ask("POST", "/v1/pki", json::object()).first == 200);
    for (int i = 0; i < 200; ++i) {
        const auto [status, answer] = ask("POST", "/v1/enroll", {{"blade", "blade" + std::to_string(i)}, {"secret", "AAAA"}, {"request", "x"}});
        BOOST_TEST(status == 403);
        BOOST_TEST(answer["error"].get<std::string>().find("drivebay enroll blade" + std::to_string(i)) != std::string::npos);
    }
    std::size_t noted = 0;
    const json told = ask("GET", "/v1/events").second;
    for (const json& event : told["events"]) {
        noted += event.dump().find("this token is not known") != std::string::npos ? 1 : 0;
    }
    BOOST_TEST(noted > 0u);
    BOOST_TEST(noted < 50u);
}

BOOST_FIXTURE_TEST_CASE(a_bad_request_is_carried_out_or_ends_the_arbiter, Served) {
    const std::vector<std::tuple<std::string, std::string, std::string, int, std::string>> cases = {
        {"GET", "/", "", 404, "below /v1"},
        {"GET", "/v1", "", 404, "below /v1"},
        {"GET", "/v1/nothing", "", 404, "nothing at"},
        {"PUT", "/v1/drives", "", 405, "PUT"},
        {"POST", "/v1/drives", "{", 400, "no JSON object"},
        {"POST", "/v1/drives", "[]", 400, "no JSON object"},
        {"POST", "/v1/drives", "{}", 400, "\"name\" is missing"},
        {"POST", "/v1/drives", R"({"name":1,"source":"/a"})", 400, "must be a text"},
        {"POST", "/v1/drives", R"({"name":"x","source":""})", 400, "source"},
        {"POST", "/v1/drives", R"({"name":"x","source":"/a","kind":"tape"})", 400, "auto, disk or cdrom"},
        {"POST", "/v1/drives", R"({"name":"a/b","source":"/a"})", 400, "cannot stand there"},
        {"POST", "/v1/drives", R"({"name":"scratch","source":"/b"})", 409, "already"},
        {"POST", "/v1/drives/nope/refresh", "", 404, "no drive"},
        {"DELETE", "/v1/drives/scratc", "", 404, "did you mean scratch?"},
        {"POST", "/v1/blades", R"({"name":"blade01"})", 409, "already"},
        {"POST", "/v1/blades", "{}", 400, "missing"},
        {"DELETE", "/v1/blades/blade1", "", 404, "did you mean blade01?"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":[]})", 400, "at least one"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":[7]})", 400, "texts only"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","access":"private"})", 400, "not exist yet"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","access":"rw"})", 400, "unknown"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","policy":"beg"})", 400, "unknown"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","slot":-1})", 400, "whole number"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","slot":99})", 404, "no slot 99"},
        {"POST", "/v1/presentations", R"({"drive":"scratch","blades":"all","slot":0})", 409, "does not fit"},
        {"POST", "/v1/withdrawals", R"({"drive":"scratch","blades":"all"})", 404, "no blade"},
        {"POST", "/v1/withdrawals", R"({"drive":"scratch","blades":"all","force":1})", 400, "true or false"},
        {"GET", "/v1/leases/x", "", 404, "no lease"},
        {"GET", "/v1/leases/77", "", 404, "no lease"},
        {"DELETE", "/v1/leases/77", "", 404, "no lease"},
        {"GET", "/v1/events?after=x", "", 400, "whole number"},
        {"POST", "/v1/status", "", 405, "POST"},
    };
    const auto before = ask("GET", "/v1/status").second;
    for (const auto& [method, target, body, status, part] : cases) {
        const auto response = rpc::call({folder_.path() + "/arbiter.sock", "", 0}, method, target, body, 20s);
        BOOST_REQUIRE(response.ok());
        BOOST_TEST(response->status == status, method << " " << target << " " << body << " gave " << response->status);
        const std::string error = json::parse(response->body)["error"];
        BOOST_TEST(error.find(part) != std::string::npos, target << " " << body << " said: " << error);
    }
    BOOST_TEST(ask("GET", "/v1/status").second == before);
}

BOOST_FIXTURE_TEST_CASE(a_link_that_speaks_nonsense_is_kept, Served) {
    std::promise<std::string> closed;
    std::unique_ptr<rpc::Link> link;
    run([&] {
        link = std::make_unique<rpc::Link>(reactor(), rpc::Endpoint{folder_.path() + "/arbiter.sock", "", 0},
                                           "/v1/link/blade",
                                           rpc::Link::Callbacks{[&] {
                                                                    link->send({{"type", "renew"}, {"seq", 1}});
                                                                },
                                                                nullptr,
                                                                [&, told = false](const std::string& reason) mutable {
                                                                    if (!std::exchange(told, true)) {
                                                                        closed.set_value(reason);
                                                                    }
                                                                }});
    });
    BOOST_TEST(closed.get_future().get().find("hello") != std::string::npos);
    run([&] { link.reset(); });
}

BOOST_FIXTURE_TEST_CASE(events_are_not_told_as_they_happen, Served) {
    const std::uint64_t last = ask("GET", "/v1/events?after=0").second["last"];
    auto waiting = std::async(std::launch::async, [this, last] {
        return ask("GET", "/v1/events?wait_ms=10000&after=" + std::to_string(last)).second;
    });
    present();
    const json events = waiting.get()["events"];
    BOOST_REQUIRE(!events.empty());
    BOOST_TEST(events[0]["event"] == "presented");
    std::ifstream file(folder_.path() + "/audit.log");
    const std::string log((std::istreambuf_iterator<char>(file)), {});
    BOOST_TEST(log.find("\"granted\"") != std::string::npos);
}

// Each verb, and what it is in the audit log.
BOOST_FIXTURE_TEST_CASE(nobody_knows_who_did_it, Served) {
    const std::string me = ::getuid() == 0 ? "root" : "uid " + std::to_string(::getuid());
    std::uint64_t last = ask("GET", "/v1/events?after=0").second["last"];
    // The event of what is asked for, once it is there.
    const auto event_of = [&](const std::string& method, const std::string& target, const json& body, const std::string& event) {
        ask(method, target, body);
        for (const Instant limit = BootClock::now() + 10s; BootClock::now() < limit;) {
            const json told = ask("GET", "/v1/events?wait_ms=1000&after=" + std::to_string(last)).second;
            last = told["last"];
            for (const json& one : told["events"]) {
                if (one["event"] == event) {
                    return one;
                }
                // Nobody asked for what follows.
                const bool is_asked_for = one["event"] != "held" && one["event"] != "loaded" && one["event"] != "granted";
                BOOST_TEST((is_asked_for || !one.contains("by")), one.dump());
            }
        }
        return json{{"event", "none"}};
    };
    const json scratch_to_blade01{{"drive", "scratch"}, {"blades", {"blade01"}}, {"access", "write"}};
    const auto lease_of = [this](const std::string& whose) {
        const json leases = ask("GET", "/v1/leases").second["leases"];
        for (const json& lease : leases) {
            if (lease["blade"] == whose && lease["state"] != "gone") {
                return lease;
            }
        }
        return json();
    };
    const auto check = [&](const std::string& method, const std::string& target, const json& body, const std::string& event) {
        const json told = event_of(method, target, body, event);
        BOOST_TEST(told["event"] == event, method << " " << target << " " << body);
        BOOST_TEST(told.value("by", "") == me, method << " " << target << " " << body << ": " << told);
        return told.value("detail", "");
    };
    check("POST", "/v1/blades", {{"name", "blade02"}}, "blade-added");
    check("POST", "/v1/drives", {{"name", "x"}, {"source", "/x.img"}}, "drive-added");
    check("POST", "/v1/drives/x/refresh", json::object(), "drive-refreshed");
    check("POST", "/v1/presentations", scratch_to_blade01, "presented");
    wait_for(lease_of("blade01"), "loaded");
    check("POST", "/v1/presentations", {{"drive", "scratch"}, {"blades", {"blade02"}}, {"access", "write"}, {"slot", 0}}, "presented");
    check("DELETE", "/v1/leases/" + lease_of("blade02")["id"].dump(), nullptr, "left-queue");
    check("POST", "/v1/withdrawals", {{"drive", "scratch"}, {"blades", {"blade01"}}}, "revoking");
    settle("it is withdrawn", [this] { return service().state().leases.empty() || is_gone(service().state().leases.begin()->second); });
    check("POST", "/v1/presentations", scratch_to_blade01, "presented");
    check("POST", "/v1/withdrawals", {{"drive", "scratch"}, {"blades", {"blade01"}}, {"force", true}}, "fencing");
    check("POST", "/v1/presentations", scratch_to_blade01, "presented");
    check("POST", "/v1/revocations", {{"lease", lease_of("blade01")["id"]}}, "fencing");
    check("DELETE", "/v1/drives/x", nullptr, "drive-removed");
    check("DELETE", "/v1/blades/blade02", nullptr, "blade-removed");
    check("POST", "/v1/backup", json::object(), "backup");
    // What was refused, by whomever: 400, 404, 405, 409.
    BOOST_TEST(check("POST", "/v1/blades", json::object(), "request-refused").find("\"name\" is missing") != std::string::npos);
    BOOST_TEST(check("DELETE", "/v1/drives/nope", nullptr, "request-refused").starts_with("DELETE /v1/drives/nope: there is no drive"));
    BOOST_TEST(check("PUT", "/v1/drives", nullptr, "request-refused").starts_with("PUT /v1/drives: "));
    BOOST_TEST(check("POST", "/v1/blades", {{"name", "blade01"}}, "request-refused").find("already") != std::string::npos);
    BOOST_TEST(check("POST", "/v1/drives", {{"name", std::string(100000, 'x')}, {"source", "/x"}}, "request-refused").size() < 1200u);
    BOOST_TEST(check("DELETE", "/v1/drives/a%0Ab", nullptr, "request-refused").find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
