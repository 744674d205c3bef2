// What is told when, while the disk takes its time: an arbiter over a store that a test holds up.
#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <condition_variable>
#include <future>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>

#include "arbiter/api/api.h"
#include "arbiter/api/backups.h"
#include "arbiter/arbiter.h"
#include "arbiter/links/blade_links.h"
#include "tests/unit/lease_models.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::arbiter;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

// Keeps nothing. Once held up, each commit begins and does not end before let_go().
class HeldStore : public Store {
public:
    Result<State> load() override { return State{}; }
    Status commit(const State&, const Changes&) override {
        std::unique_lock lock(mutex_);
        ++begun_;
        changed_.wait(lock, [this] { return !held_; });
        ++ended_;
        return fails_ ? Status(Error{EIO, "the disk is broken"}) : success();
    }

    Result<std::unique_ptr<StoreCopy>> copy() override { return Error{ENOTSUP, "there is nothing to copy"}; }
    std::string place() const override { return "nowhere"; }

    void hold_up(bool held = true) {
        const std::lock_guard lock(mutex_);
        held_ = held;
        changed_.notify_all();
    }
    void let_go() { hold_up(false); }
    void fail() {
        const std::lock_guard lock(mutex_);
        fails_ = true;
    }
    int begun() const {
        const std::lock_guard lock(mutex_);
        return begun_;
    }
    int ended() const {
        const std::lock_guard lock(mutex_);
        return ended_;
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    bool fails_ = false;
    int begun_ = 0;
    int ended_ = 0;
};

// The arbiter's end of a link: what it sent, and what the test lets it hear.
class Wire : public rpc::Channel {
public:
    void send(const json& message) override { sent.push_back(message); }
    void close(const std::string& reason) override { closed = reason; }
    const rpc::Peer& peer() const override { return peer_; }

    void hears(const protocol::Message& message) { on_message(protocol::encode(message)); }
    void ends() { std::exchange(on_close, nullptr)("gone"); }
    int count(const std::string& type) const {
        return static_cast<int>(
            std::count_if(sent.begin(), sent.end(), [&type](const json& message) { return message["type"] == type; }));
    }

    std::vector<json> sent;
    std::string closed;

private:
    rpc::Peer peer_{true, 0, "test", false, "", ""};
};

struct World : Audience {
    World() {
        State state;
        state.term = 1;
        state.timing.ttl = ttl;
        auto log = EventLog::open(folder.path() + "/audit.log", 0);
        BOOST_REQUIRE(log.ok());
        events = std::move(*log);
        arbiter = std::make_unique<Arbiter>(reactor, std::move(state), store, *events, [this](const std::string& why) {
            reason = why;
            ++given_up;
        });
        denials = std::make_unique<Denials>([this](const Denial& denial) { denied.push_back(denial); });
        links = std::make_unique<BladeLinks>(*arbiter, *denials);
        data_path_link = std::make_unique<DataPathLink>(*arbiter, *denials, reactor);
        long_poll = std::make_unique<LongPoll>(*arbiter, reactor);
        backups = std::make_unique<Backups>(store, arbiter->disk());
        enrolment = std::make_unique<Enrolment>(*arbiter, registry, *denials, Enrolment::Callbacks{[] {}, [](const auto&) {}});
        api = std::make_unique<Api>(*arbiter, *data_path_link, *long_poll, *backups, *enrolment, *denials);
        arbiter->add_audience(*data_path_link);
        arbiter->add_audience(*links);
        arbiter->add_audience(*long_poll);
        arbiter->add_audience(*this);
        arbiter->start();
    }
    ~World() override { store.let_go(); }

    void told(const Actions&) override { ++times_told; }

    // Lets the reactor work until `is_so`, for 10 s at most.
    void until(const std::function<bool()>& is_so) {
        const Instant limit = BootClock::now() + 10s;
        rpc::Timer timer(reactor);
        std::function<void()> look = [&] {
            if (is_so() || BootClock::now() > limit) {
                reactor.stop();
            } else {
                timer.set(1ms, look);
            }
        };
        timer.set(0ms, look);
        reactor.run();
        BOOST_REQUIRE(is_so());
    }

    // Everything that has reached the reactor by now is dealt with.
    void settle() {
        int rounds = 0;
        until([&rounds] { return ++rounds > 3; });
    }

    void do_now(Happening what) {
        bool done = false;
        arbiter->apply(std::move(what), [&done](const Actions& actions) {
            BOOST_TEST(!actions.refusal.has_value());
            done = true;
        });
        until([&done] { return done; });
    }

    void add_drive() {
        Drive drive;
        drive.name = "scratch";
        drive.source = "/a.img";
        drive.size = 1 << 20;
        do_now(AddDrive{drive});
    }

    void present(const std::string& blade) {
        Present request;
        request.drive = "scratch";
        request.blades = {blade};
        request.access = Mode::write;
        do_now(request);
    }

    void pass(Duration time) {
        const Instant end = BootClock::now() + time;
        until([end] { return BootClock::now() >= end; });
    }

    // Begins a commit that does not end.
    void hang() {
        const int before = store.begun();
        store.hold_up();
        arbiter->apply(AddBlade{"hung"});
        until([this, before] { return store.begun() > before; });
    }

    struct Answer {
        int status = 0;
        json body;
    };
    std::shared_ptr<Answer> ask(const std::string& method, const std::string& path, const json& body = nullptr,
                                const std::map<std::string, std::string>& query = {}) {
        auto answer = std::make_shared<Answer>();
        api->handle({method, path, query, body.is_null() ? "" : body.dump(), rpc::Peer{true, 0, "test", false, "", ""}},
                    [answer](const rpc::Response& response) {
                        answer->status = response.status;
                        answer->body = json::parse(response.body);
                    });
        return answer;
    }

    std::shared_ptr<Wire> connect(models::BladeModel& blade) {
        auto wire = std::make_shared<Wire>();
        links->accept(wire);
        wire->hears(blade.hello());
        return wire;
    }

    static void renew(Wire& wire) {
        wire.hears(protocol::Renew{1});
        wire.hears(protocol::Heard{1});
    }

    // `blade` with its link; a drive that it holds for writing.
    std::shared_ptr<Wire> add_holder(models::BladeModel& blade) {
        do_now(DataPathArrived{data_path.hello()});
        add_drive();
        do_now(AddBlade{blade.name});
        const auto wire = connect(blade);
        until([&wire] { return wire->count("welcome") == 1; });
        blade.session = wire->sent.front()["session"];
        present(blade.name);
        data_path.apply(data_path_table(arbiter->state()));
        do_now(DataPathReported{data_path.observed()});
        BOOST_REQUIRE(lease_of(blade.name).state == LeaseState::held);
        return wire;
    }

    const Lease& lease_of(const std::string& blade) const {
        for (const auto& [id, lease] : arbiter->state().leases) {
            if (lease.blade == blade && !is_gone(lease)) {
                return lease;
            }
        }
        throw std::runtime_error(blade + " has no lease");
    }

    bool has_event(const std::string& event) const {
        const auto lines = events->after(0, 1000);
        return std::any_of(lines.begin(), lines.end(),
                           [&event](const auto& line) { return json::parse(line.json)["event"] == event; });
    }

    static constexpr Duration ttl = 500ms;
    TemporaryFolder folder;
    rpc::Reactor reactor;
    HeldStore store;
    models::DataPath data_path;
    int times_told = 0;
    int given_up = 0;
    std::string reason;
    std::unique_ptr<EventLog> events;
    std::unique_ptr<Arbiter> arbiter;
    std::unique_ptr<BladeLinks> links;
    std::unique_ptr<DataPathLink> data_path_link;
    std::unique_ptr<LongPoll> long_poll;
    std::unique_ptr<Backups> backups;
    Registry registry{"/nonexistent"};
    std::vector<Denial> denied;
    std::unique_ptr<Denials> denials;
    std::unique_ptr<Enrolment> enrolment;
    std::unique_ptr<Api> api;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(arbiter_commit)

BOOST_FIXTURE_TEST_CASE(something_is_told_before_it_is_durable, World) {
    const int told_before = times_told;
    const auto event =
        ask("GET", "/v1/events", nullptr, {{"after", std::to_string(events->last())}, {"wait_ms", "9000"}});
    store.hold_up();
    const auto answer = ask("POST", "/v1/blades", {{"name", "blade01"}});
    until([this] { return store.begun() == 1; });
    settle();
    BOOST_TEST(answer->status == 0);
    BOOST_TEST(event->status == 0);
    BOOST_TEST(times_told == told_before);
    BOOST_TEST(!has_event("blade-added"));
    store.let_go();
    until([&answer] { return answer->status != 0; });
    BOOST_TEST(answer->status == 200);
    BOOST_TEST(event->body["events"][0]["event"] == "blade-added");
    BOOST_TEST(times_told == told_before + 1);
}

BOOST_FIXTURE_TEST_CASE(what_a_blade_must_not_tell_is_taken_or_nobody_hears_of_it, World) {
    do_now(AddBlade{"a"});
    models::BladeModel a("a", {DriveKind::disk});
    const auto wire = connect(a);
    until([&wire] { return wire->count("welcome") == 1; });
    auto observed = a.observed();
    observed.slots.front().slot = -1;
    wire->hears(observed);
    BOOST_TEST(wire->closed.find("slot -1") != std::string::npos);
    BOOST_REQUIRE_EQUAL(denied.size(), 1u);
    BOOST_TEST(denied[0].reason == wire->closed);

    const auto refused = [&](const protocol::BladeHello& hello) {
        const auto another = std::make_shared<Wire>();
        links->accept(another);
        another->hears(hello);
        until([&another] { return !another->closed.empty(); });
        BOOST_TEST(another->sent.front()["type"] == "refused");
        BOOST_TEST(denied.back().reason == another->closed);
        return another->closed;
    };
    auto hello = a.hello();
    hello.observed = observed;
    BOOST_TEST(refused(hello).find("slot -1") != std::string::npos);
    hello = a.hello();
    hello.term = std::numeric_limits<Term>::max();
    BOOST_TEST(refused(hello).find("not believed") != std::string::npos);
    hello = a.hello();
    hello.blade = "a\nb";
    BOOST_TEST(refused(hello).find("cannot stand there") != std::string::npos);
    BOOST_TEST(denied.size() == 4u);
    BOOST_TEST(arbiter->state().term == 1u);
    BOOST_TEST(arbiter->state().blades.at("a").slots.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_comes_while_a_request_waits_gets_what_it_is_not_allowed, World) {
    add_drive();
    do_now(AddBlade{"a"});
    api->set_allowances(Allowances({"a/scratch read", "hung/scratch read"}));
    hang();
    const auto added = ask("POST", "/v1/blades", {{"name", "b"}});
    const auto presented =
        ask("POST", "/v1/presentations", {{"drive", "scratch"}, {"blades", "all"}, {"slot", 0}});
    store.let_go();
    until([&] { return added->status != 0 && presented->status != 0; });
    BOOST_TEST(added->status == 200);
    BOOST_TEST(presented->status == 200);
    BOOST_TEST(presented->body["presentations"].size() == 2u);
    for (const auto& [id, lease] : arbiter->state().leases) {
        BOOST_TEST(lease.blade != "b");
    }
}

BOOST_FIXTURE_TEST_CASE(each_event_that_waited_costs_a_commit_of_its_own, World) {
    hang();
    std::vector<std::shared_ptr<Answer>> answers;
    for (int i = 0; i < 16; ++i) {
        answers.push_back(ask("POST", "/v1/blades", {{"name", "blade" + std::to_string(i)}}));
    }
    store.let_go();
    until([&answers] {
        return std::all_of(answers.begin(), answers.end(), [](const auto& a) { return a->status == 200; });
    });
    BOOST_TEST(store.begun() < 5);
}

BOOST_FIXTURE_TEST_CASE(a_hung_disk_hangs_status, World) {
    hang();
    for (const char* path : {"/v1/status", "/v1/leases", "/v1/events", "/v1/drives", "/v1/blades"}) {
        const auto answer = ask("GET", path);
        until([&answer] { return answer->status != 0; });
        BOOST_TEST(answer->status == 200);
        BOOST_TEST(answer->body["store"]["waiting_ms"].get<int>() >= 100, path);
    }
    BOOST_TEST(store.ended() == 0);
    store.let_go();
    until([this] { return !arbiter->store_delay(); });
    BOOST_TEST(!ask("GET", "/v1/status")->body.contains("store"));
}

BOOST_FIXTURE_TEST_CASE(a_status_shows_as_promised_what_is_not, World) {
    hang();
    const auto answer = ask("GET", "/v1/blades/hung");
    settle();
    BOOST_TEST((answer->status == 0 || answer->body.contains("store")));
    store.let_go();
    until([&answer] { return answer->status != 0; });
    BOOST_TEST(answer->status == 200);
}

BOOST_FIXTURE_TEST_CASE(a_waiter_is_told_of_an_end_that_is_not_durable, World) {
    models::BladeModel a("a", {DriveKind::disk});
    const auto wire = add_holder(a);
    const std::string id = std::to_string(lease_of("a").id);
    const auto withdrawal = ask("POST", "/v1/withdrawals", {{"drive", "scratch"}, {"blades", {"a"}}, {"force", true}});
    until([&withdrawal] { return withdrawal->status == 200; });
    data_path.apply(data_path_table(arbiter->state()));
    store.hold_up();
    arbiter->apply(DataPathReported{data_path.observed()});
    const auto answer = ask("GET", "/v1/leases/" + id, nullptr, {{"until", "gone"}, {"wait_ms", "9000"}});
    until([this] { return arbiter->store_delay().value_or(0ms) > 150ms; });
    BOOST_TEST(answer->status == 0);
    store.let_go();
    until([&answer] { return answer->status != 0; });
    BOOST_TEST(answer->body["state"] == "gone");
}

BOOST_FIXTURE_TEST_CASE(a_renewal_waits_for_the_disk, World) {
    models::BladeModel a("a", {DriveKind::disk});
    const auto wire = add_holder(a);
    hang();
    wire->hears(protocol::Renew{7});
    BOOST_TEST(wire->sent.back()["type"] == "renewed");
    BOOST_TEST(wire->sent.back()["seq"] == 7);
}

BOOST_FIXTURE_TEST_CASE(a_long_commit_expires_blades_that_renewed_meanwhile, World) {
    models::BladeModel a("a", {DriveKind::disk});
    models::BladeModel b("b", {DriveKind::disk});
    const auto wire = add_holder(a);
    do_now(AddBlade{"b"});
    const auto other = connect(b);
    present("b");
    const Epoch epoch = lease_of("a").epoch;
    hang();
    const Instant end = BootClock::now() + 2 * ttl;
    until([&] {
        renew(*wire);
        renew(*other);
        return BootClock::now() > end;
    });
    store.let_go();
    until([this] { return !arbiter->store_delay(); });
    settle();
    BOOST_TEST(!has_event("session-expired"));
    BOOST_TEST((lease_of("a").state == LeaseState::held));
    BOOST_TEST(lease_of("a").epoch == epoch);
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_hears_no_answer_keeps_others_waiting, World) {
    models::BladeModel a("a", {DriveKind::disk});
    models::BladeModel b("b", {DriveKind::disk});
    const auto wire = add_holder(a);
    do_now(AddBlade{"b"});
    const auto other = connect(b);
    present("b");
    const Instant deaf_since = BootClock::now();
    std::uint64_t seq = 1;
    until([&] {
        wire->hears(protocol::Renew{++seq});
        wire->hears(protocol::Heard{1});  // none of these answers
        renew(*other);
        return has_event("session-expired") || BootClock::now() > deaf_since + 4 * ttl;
    });
    BOOST_TEST((BootClock::now() - deaf_since < 2 * ttl));
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_came_back_during_a_long_commit_has_expired, World) {
    models::BladeModel a("a", {DriveKind::disk});
    const auto wire = add_holder(a);
    hang();
    renew(*wire);
    wire->ends();
    pass(ttl * 6 / 10);
    const auto again = connect(a);
    pass(ttl * 6 / 10);
    store.let_go();
    until([&again] { return again->count("welcome") == 1; });
    BOOST_TEST(!has_event("session-expired"));
    BOOST_TEST(again->sent.front()["session"] == a.session);
    BOOST_TEST(again->sent.back()["type"] == "desired");
    BOOST_TEST(arbiter->state().blades.at("a").connected);
}

BOOST_FIXTURE_TEST_CASE(a_blade_that_left_before_its_welcome_is_taken_for_connected, World) {
    models::BladeModel a("a", {DriveKind::disk});
    do_now(AddBlade{"a"});
    store.hold_up();
    const auto wire = connect(a);
    until([this] { return arbiter->store_delay().has_value(); });
    wire->ends();
    store.let_go();
    until([this] { return has_event("blade-offline"); });
    BOOST_TEST(!arbiter->state().blades.at("a").connected);
    BOOST_TEST(wire->count("welcome") == 0);
}

BOOST_FIXTURE_TEST_CASE(an_old_link_is_heard_after_a_newer_ones_hello, World) {
    models::BladeModel a("a", {DriveKind::disk});
    const auto old = add_holder(a);
    hang();
    const auto newer = connect(a);
    old->hears(a.observed());
    BOOST_TEST(!old->closed.empty());
    store.let_go();
    until([&newer] { return newer->count("welcome") == 1; });
    BOOST_TEST(newer->closed.empty());
}

BOOST_FIXTURE_TEST_CASE(a_local_open_is_answered_to_the_next_drivebayfs, World) {
    add_drive();
    const auto first = std::make_shared<Wire>();
    data_path_link->accept(first);
    first->hears(data_path.hello());
    until([&first] { return first->count("table") >= 1; });
    hang();
    first->hears(protocol::LocalAcquire{1, "scratch", Mode::write});
    first->ends();
    const auto second = std::make_shared<Wire>();
    data_path_link->accept(second);
    second->hears(data_path.hello());
    store.let_go();
    until([&second] { return second->count("table") >= 1; });
    settle();
    BOOST_TEST(second->count("local_answer") == 0);
    BOOST_TEST(first->count("local_answer") == 0);
}

BOOST_FIXTURE_TEST_CASE(what_could_not_be_kept_is_answered_as_done, World) {
    const int told_before = times_told;
    hang();
    const auto queued = ask("POST", "/v1/blades", {{"name", "b"}});
    const auto reading =
        ask("GET", "/v1/events", nullptr, {{"after", std::to_string(events->last())}, {"wait_ms", "9000"}});
    store.fail();
    store.let_go();
    until([this] { return given_up == 1; });
    BOOST_TEST(queued->status == 503);
    BOOST_TEST(reason.find("the disk is broken") != std::string::npos);
    BOOST_TEST(ask("POST", "/v1/blades", {{"name", "c"}})->status == 503);
    BOOST_TEST(ask("GET", "/v1/status")->status == 503);
    BOOST_TEST(times_told == told_before);
    BOOST_TEST(!has_event("blade-added"));
    BOOST_TEST(given_up == 1);
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_was_deposed_goes_on, World) {
    do_now(DataPathArrived{data_path.hello()});
    data_path.apply(data_path_table(arbiter->state()));
    do_now(DataPathReported{data_path.observed()});
    do_now(DataPathLeft{});
    const int told_before = times_told;
    hang();
    const auto queued = ask("POST", "/v1/blades", {{"name", "b"}});
    protocol::DataPathHello hello = data_path.hello();
    hello.term = 7;
    arbiter->apply(DataPathArrived{hello});
    store.let_go();
    until([this] { return given_up == 1; });
    BOOST_TEST(reason.find("term 7") != std::string::npos);
    BOOST_TEST(queued->status == 503);
    BOOST_TEST(ask("POST", "/v1/blades", {{"name", "c"}})->status == 503);
    BOOST_TEST(times_told == told_before + 1);
    BOOST_TEST(store.begun() == 1);
}

BOOST_FIXTURE_TEST_CASE(a_blade_is_told_what_nobody_knows_to_be_up_to_date, World) {
    models::BladeModel a("a", {DriveKind::disk});
    do_now(AddBlade{"a"});
    const auto wire = connect(a);
    until([&wire] { return wire->count("welcome") == 1; });
    settle();
    BOOST_TEST(wire->count("desired") == 0);
    do_now(DataPathArrived{data_path.hello()});
    BOOST_TEST(wire->count("desired") == 0);
    data_path.apply(data_path_table(arbiter->state()));
    do_now(DataPathReported{data_path.observed()});
    BOOST_TEST(wire->count("desired") == 1);
}

BOOST_FIXTURE_TEST_CASE(the_arbiter_ends_before_its_commit_does, World) {
    hang();
    auto ended = std::async(std::launch::async, [this] {
        api.reset();
        links.reset();
        arbiter.reset();
    });
    BOOST_TEST((ended.wait_for(50ms) == std::future_status::timeout));
    store.let_go();
    ended.get();
    BOOST_TEST(store.ended() == 1);
    // What was posted on the reactor must not reach an arbiter that is gone.
    settle();
}

BOOST_AUTO_TEST_SUITE_END()
