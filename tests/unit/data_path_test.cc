#define BOOST_TEST_DYN_LINK
#include <libnbd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "arbiter/pki/registry.h"
#include "fusefs/control/data_path.h"
#include "fusefs/engine/admission_table.h"
#include "lib/base/fd.h"
#include "lib/protocol/messages.h"
#include "lib/rpc/server.h"
#include "lib/tls/folder.h"
#include "tests/unit/nbd_client_handle.h"
#include "tests/unit/nbd_server_double.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {
namespace {

using namespace std::chrono_literals;

// An arbiter that does what the test says, and keeps what it hears.
class ArbiterDouble {
public:
    explicit ArbiterDouble(const std::string& socket) {
        rpc::Handlers handlers;
        handlers.on_request = [](const rpc::Request&, const rpc::Reply& reply) { reply({404, "{}"}); };
        handlers.on_channel = [this](const std::string&, std::shared_ptr<rpc::Channel> channel) {
            channel->on_message = [this](const nlohmann::json& json) { hear(json); };
            channel->on_close = [](const std::string&) {};
            channel_ = std::move(channel);
        };
        server_ = std::make_unique<rpc::Server>(reactor_, std::move(handlers));
        rpc::Endpoint endpoint;
        endpoint.path = socket;
        BOOST_REQUIRE(server_->listen(endpoint).ok());
        thread_ = std::thread([this] { reactor_.run(); });
    }
    ~ArbiterDouble() {
        std::promise<void> ended;
        reactor_.post([&] {
            if (channel_) {
                channel_->on_message = nullptr;
                channel_->on_close = nullptr;
                channel_.reset();
            }
            server_.reset();
            ended.set_value();
        });
        ended.get_future().wait();
        reactor_.stop();
        thread_.join();
    }

    void say(const protocol::Message& message) {
        reactor_.post([this, json = protocol::encode(message)] { channel_->send(json); });
    }
    // Waits until one of the messages heard so far, or a later one, is an M that fits; drops it and those before it.
    template <class M>
    M wait_for(const std::function<bool(const M&)>& fits) {
        std::unique_lock lock(mutex_);
        std::optional<M> found;
        const bool in_time = changed_.wait_for(lock, 20s, [&] {
            while (!heard_.empty() && !found) {
                const auto* message = std::get_if<M>(&heard_.front());
                if (message != nullptr && fits(*message)) {
                    found = *message;
                }
                heard_.erase(heard_.begin());
            }
            return found.has_value();
        });
        BOOST_REQUIRE_MESSAGE(in_time, "the data path did not say what was waited for");
        return *found;
    }

private:
    void hear(const nlohmann::json& json) {
        Result<protocol::Message> message = protocol::decode(json, protocol::Side::data_path);
        const std::lock_guard lock(mutex_);
        if (message) {
            heard_.push_back(std::move(*message));
        }
        changed_.notify_all();
    }
    rpc::Reactor reactor_;
    std::unique_ptr<rpc::Server> server_;
    std::shared_ptr<rpc::Channel> channel_;
    std::thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<protocol::Message> heard_;
};

// A data path with its two threads, on the state folder and sockets of `folder`.
class Running {
public:
    // `pki` is also listened for by TLS, at `network`.
    explicit Running(const std::string& folder, const std::string& pki = "", std::size_t connections = 1024) : socket(folder + "/nbd.sock") {
        DataPathSettings settings;
        settings.pki = pki;
        settings.nbd_connections = connections;
        if (!pki.empty()) {
            settings.nbd_listeners.push_back(network);
        }
        settings.state_dir = folder;
        settings.arbiter.path = folder + "/arbiter.sock";
        settings.nbd_listeners.emplace_back().path = socket;
        path_.emplace(loop_, reactor_, settings);
        const Status started = path_->start();
        const std::string why = started.ok() ? "" : started.error().message;
        BOOST_REQUIRE_MESSAGE(started.ok(), why);
        data_ = std::thread([this] { loop_.run(); });
        control_ = std::thread([this] { reactor_.run(); });
    }
    ~Running() {
        loop_.post([this] {
            path_->stop([this] {
                loop_.stop();
                reactor_.stop();
            });
        });
        data_.join();
        control_.join();
    }

    Result<std::shared_ptr<View>> open(const std::string& blade, const DriveReference& name, Mode mode) {
        std::promise<Result<std::shared_ptr<View>>> outcome;
        loop_.post([&] {
            path_->catalogue().open(blade, name, mode, [&outcome](Result<std::shared_ptr<View>> view) {
                outcome.set_value(std::move(view));
            });
        });
        return outcome.get_future().get();
    }
    // A handle is closed on the loop's thread.
    void close(std::shared_ptr<View> view) {
        std::promise<void> closed;
        loop_.post([&closed, view = std::move(view)]() mutable {
            view.reset();
            closed.set_value();
        });
        closed.get_future().wait();
    }
    DrainAnswer drain(const std::string& drive, const std::string& blade, Epoch epoch) {
        std::promise<DrainAnswer> outcome;
        loop_.post([&] {
            path_->drain_source().drain(drive, blade, epoch, [&](DrainAnswer answer) { outcome.set_value(answer); });
        });
        return outcome.get_future().get();
    }

    const std::string socket;
    const rpc::Endpoint network{"", "127.0.0.1", 14797};

private:
    EventLoop loop_;
    rpc::Reactor reactor_;
    std::optional<DataPath> path_;
    std::thread data_;
    std::thread control_;
};

// Null: refused.
Client connected(const Running& running, const std::string& name) {
    Client made(nbd_create());
    nbd_set_export_name(made.get(), name.c_str());
    nbd_set_full_info(made.get(), true);
    nbd_set_strict_mode(made.get(), 0);
    return nbd_connect_unix(made.get(), running.socket.c_str()) == 0 ? std::move(made) : nullptr;
}

// Null: refused.
Client connected_as(const std::string& identity, const Running& running, const std::string& name) {
    Client made(nbd_create());
    nbd_set_export_name(made.get(), name.c_str());
    nbd_set_tls(made.get(), LIBNBD_TLS_REQUIRE);
    nbd_set_tls_certificates(made.get(), identity.c_str());
    const std::string port = std::to_string(running.network.port);
    return nbd_connect_tcp(made.get(), running.network.host.c_str(), port.c_str()) == 0 ? std::move(made) : nullptr;
}

bool reads(const Client& client) {
    char byte = 0;
    return nbd_pread(client.get(), &byte, 1, 0, 0) == 0;
}

bool becomes_true(const std::function<bool()>& condition) {
    const Instant limit = BootClock::now() + 20s;
    while (!condition()) {
        if (BootClock::now() >= limit) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

// A folder of an authority's, as the arbiter makes it, and blades' beside it.
struct Authority {
    explicit Authority(const std::string& place) : pki(place), identity(give("blade01")) {}
    std::string give(const std::string& blade) {
        if (!registry.is_there()) {
            BOOST_TEST(registry.begin("mm", {"127.0.0.1"}, 0).ok());
        }
        const std::string folder = pki + "-" + blade;
        const tls::Key key = tls::key_in(folder).value();
        const auto issued = registry.issue({tls::Identity::Kind::blade, blade, tls::Role::view}, key.get(), 0);
        BOOST_TEST(tls::keep_certificate(folder, issued->certificate, registry.authority_pem(), tls::Identity::Kind::blade, blade).ok());
        return folder;
    }
    const std::string pki;
    arbiter::Registry registry{pki};
    const std::string identity;  // blade01's
};

// A TCP client that says what a well-bred one would not.
UniqueFd raw_client(const Running& running, const std::string& says = "") {
    UniqueFd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(running.network.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_TEST_REQUIRE(::connect(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    BOOST_TEST(::send(made.get(), says.data(), says.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(says.size()));
    return made;
}

struct Bench {
    TemporaryFolder folder;
    std::string image = folder.path() + "/disk (1).img";

    Bench() {
        std::ofstream(image).flush();
        BOOST_REQUIRE(truncate(image.c_str(), 1 << 20) == 0);
    }
    protocol::Table table(std::uint64_t version, std::vector<Admission> admit, std::vector<protocol::FenceOrder> fence = {},
                          std::uint64_t generation = 1) const {
        return {1, version, {{"disk", image, DriveKind::disk, false, generation}}, std::move(admit), std::move(fence)};
    }
    std::string socket() const { return folder.path() + "/arbiter.sock"; }
    char at(std::streamoff offset) const {
        std::ifstream file(image, std::ios::binary);
        file.seekg(offset);
        return static_cast<char>(file.get());
    }
};

bool admits(const protocol::DataPathObserved& observed, const Admission& admission) {
    return std::find(observed.admitted.begin(), observed.admitted.end(), admission) != observed.admitted.end();
}

protocol::DataPathObserved admitted(ArbiterDouble& arbiter, const Admission& admission) {
    return arbiter.wait_for<protocol::DataPathObserved>(
        [&](const protocol::DataPathObserved& observed) { return admits(observed, admission); });
}

protocol::DataPathObserved fenced(ArbiterDouble& arbiter, Epoch epoch) {
    return arbiter.wait_for<protocol::DataPathObserved>([&](const protocol::DataPathObserved& observed) {
        return std::any_of(observed.fenced.begin(), observed.fenced.end(),
                           [&](const protocol::Fenced& fenced) { return fenced.epoch == epoch; });
    });
}

const Admission write7{"disk", "blade01", Mode::write, 7};
const Admission write8{"disk", "blade02", Mode::write, 8};

}  // namespace

BOOST_AUTO_TEST_SUITE(data_path)

BOOST_AUTO_TEST_CASE(a_table_is_not_brought_about_or_not_reported) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const Running running(bench.folder.path());
    const auto hello = arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    BOOST_TEST(!hello.boot_id.empty());
    BOOST_TEST(hello.floors.empty());
    arbiter.say(bench.table(1, {write7}));
    const auto observed = admitted(arbiter, write7);
    BOOST_TEST(observed.version == 1u);
    BOOST_REQUIRE_EQUAL(observed.drives.size(), 1u);
    BOOST_TEST(observed.drives[0].size == 1u << 20);

    const Client nbd = connected(running, "blade01/disk");
    BOOST_REQUIRE(nbd);
    char* const description = nbd_get_export_description(nbd.get());
    BOOST_TEST(std::string(description) == "drivebay boot=" + hello.boot_id + " epoch=7 kind=disk");
    free(description);
    const std::vector<char> data(4096, 'w');
    BOOST_REQUIRE(nbd_pwrite(nbd.get(), data.data(), data.size(), 1000, LIBNBD_CMD_FLAG_FUA) == 0);
    BOOST_TEST(bench.at(1000) == 'w');
    BOOST_TEST(bench.at(999) == '\0');
    const auto counted = arbiter.wait_for<protocol::DataPathObserved>([](const protocol::DataPathObserved& seen) {
        return !seen.counters.empty() && seen.counters[0].written_bytes == 4096;
    });
    BOOST_TEST(counted.counters[0].blade == "blade01");
}

BOOST_AUTO_TEST_CASE(an_old_epoch_writes_after_its_fence_or_after_a_restart) {
    Bench bench;
    std::optional<ArbiterDouble> arbiter(std::in_place, bench.socket());
    std::optional<Running> running(std::in_place, bench.folder.path());
    arbiter->wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter->say(bench.table(1, {write7}));
    admitted(*arbiter, write7);

    // One that writes for ever, and one that keeps its connection and says nothing.
    const Client quiet = connected(*running, "blade01/disk");
    Client busy = connected(*running, "blade01/disk@7#5");
    BOOST_REQUIRE(quiet && busy);
    std::promise<void> writes;
    std::thread writer([&] {
        const std::vector<char> data(65536, 'o');
        int done = 0;
        while (nbd_pwrite(busy.get(), data.data(), data.size(), 0, 0) == 0) {
            if (++done == 10) {
                writes.set_value();
            }
        }
    });
    writes.get_future().wait();
    arbiter->say(bench.table(2, {}, {{"disk", "blade01", 7}}));
    const auto answer = fenced(*arbiter, 7);
    BOOST_TEST(answer.fenced[0].flushed);
    BOOST_TEST(!admits(answer, write7));
    arbiter->say(bench.table(3, {write8}, {{"disk", "blade01", 7}}));
    admitted(*arbiter, write8);
    const Client next = connected(*running, "blade02/disk@8");
    BOOST_REQUIRE(next);
    const std::vector<char> data(65536, 'n');
    BOOST_REQUIRE(nbd_pwrite(next.get(), data.data(), data.size(), 0, 0) == 0);
    writer.join();
    const std::vector<char> late(512, 'l');
    BOOST_TEST(nbd_pwrite(quiet.get(), late.data(), 512, 0, 0) == -1);
    BOOST_TEST(bench.at(0) == 'n');
    for (const char* name : {"blade01/disk", "blade01/disk@7", "blade01/disk@7#6", "blade02/disk@7"}) {
        BOOST_TEST(!connected(*running, name), name);
    }

    // And so it is after a restart, with no arbiter at all; what was admitted goes on.
    arbiter.reset();
    running.reset();
    running.emplace(bench.folder.path());
    BOOST_TEST(!connected(*running, "blade01/disk@7"));
    const Client again = connected(*running, "blade02/disk@8#2");
    BOOST_REQUIRE(again);
    BOOST_TEST(nbd_pwrite(again.get(), late.data(), 512, 4096, 0) == 0);

    // An arbiter that lost its store learns the floor, and cannot go below it.
    arbiter.emplace(bench.socket());
    const auto hello = arbiter->wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    BOOST_TEST(hello.floors.at("disk") == 8u);
    BOOST_TEST((hello.admitted == std::vector<Admission>{write8}));
    arbiter->say(bench.table(1, {{"disk", "blade01", Mode::read, 3}}));
    const auto refused = arbiter->wait_for<protocol::DataPathObserved>([](const auto& seen) { return seen.version == 1; });
    BOOST_TEST((refused.admitted == std::vector<Admission>{write8}));
}

BOOST_AUTO_TEST_CASE(a_clean_stop_tells_a_client_that_its_epoch_is_over) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    std::optional<Running> running(std::in_place, bench.folder.path());
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    admitted(arbiter, write7);
    const Client client = connected(*running, "blade01/disk@7#1");
    BOOST_REQUIRE(client);
    std::promise<void> reads;
    int error = 0;
    std::thread reader([&] {
        std::vector<char> data(65536);
        int done = 0;
        while (nbd_pread(client.get(), data.data(), data.size(), 0, 0) == 0) {
            if (++done == 10) {
                reads.set_value();
            }
        }
        error = nbd_get_errno();
    });
    reads.get_future().wait();
    running.reset();
    reader.join();
    BOOST_TEST(error != ESHUTDOWN);
}

BOOST_AUTO_TEST_CASE(a_refresh_keeps_the_old_size_or_tears_the_drive_from_its_user) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const Running running(bench.folder.path());
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    admitted(arbiter, write7);
    BOOST_REQUIRE(truncate(bench.image.c_str(), 2 << 20) == 0);
    arbiter.say(bench.table(2, {write7}, {}, 2));
    arbiter.wait_for<protocol::DataPathObserved>([](const auto& seen) { return seen.version == 2; });
    const Client nbd = connected(running, "blade01/disk");
    BOOST_REQUIRE(nbd);
    BOOST_TEST(nbd_get_size(nbd.get()) == 1 << 20);
    arbiter.say(bench.table(3, {}, {{"disk", "blade01", 7}}, 2));
    arbiter.say(bench.table(1, {write7}));
    const auto seen = arbiter.wait_for<protocol::DataPathObserved>([](const protocol::DataPathObserved& observed) {
        return !observed.drives.empty() && observed.drives[0].generation == 2;
    });
    BOOST_TEST(seen.drives[0].size == 2u << 20);
}

BOOST_AUTO_TEST_CASE(a_remote_drive_is_used_while_a_dead_predecessors_writes_may_land) {
    Bench bench;
    NbdServerDouble server;
    bench.image = server.uri("disk");
    const std::string store = bench.folder.path() + "/table.db";
    const auto marked = [&] { return AdmissionTable::open(store)->state().drives.at("disk").writes_marked; };
    ArbiterDouble arbiter(bench.socket());
    {
        const Running running(bench.folder.path());
        arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
        arbiter.say(bench.table(1, {write7}));
        admitted(arbiter, write7);
        const Client nbd = connected(running, "blade01/disk");
        BOOST_REQUIRE(nbd);
        const std::vector<char> data(512, 'w');
        BOOST_TEST(nbd_pwrite(nbd.get(), data.data(), data.size(), 0, 0) == 0);
    }
    BOOST_TEST(marked() == 0u);  // it was stopped: all was flushed
    {
        // As if it had been killed
        Result<AdmissionTable> table = AdmissionTable::open(store);
        TableState state = table->state();
        mark_writes(state, "disk", 1, true);
        BOOST_REQUIRE(table->commit(state).ok());
    }
    const Running running(bench.folder.path());
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    const auto seen = arbiter.wait_for<protocol::DataPathObserved>(
        [](const protocol::DataPathObserved& observed) { return !observed.drives.empty(); });
    BOOST_TEST((seen.drives[0].state == protocol::DriveState::failed));
    BOOST_TEST(seen.drives[0].error.find("drivebay drive refresh") != std::string::npos);
    BOOST_TEST(!connected(running, "blade01/disk"));
    arbiter.say(bench.table(2, {}, {{"disk", "blade01", 7}}));
    BOOST_TEST(!fenced(arbiter, 7).fenced[0].flushed);
    arbiter.say(bench.table(3, {write8}, {}, 2));
    admitted(arbiter, write8);
    BOOST_TEST(connected(running, "blade02/disk"));
}

BOOST_AUTO_TEST_CASE(one_medium_gets_two_names) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const Running running(bench.folder.path());
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {}));
    arbiter.wait_for<protocol::DataPathObserved>([](const protocol::DataPathObserved& seen) { return !seen.drives.empty(); });
    const std::string hard_link = bench.folder.path() + "/link";
    std::filesystem::create_hard_link(bench.image, hard_link);
    const auto probe = [&](const protocol::Probe& wish) {
        arbiter.say(wish);
        return arbiter.wait_for<protocol::Probed>([&](const protocol::Probed& probed) { return probed.id == wish.id; });
    };
    const auto linked = probe({1, "other", hard_link, "auto", false});
    BOOST_TEST(!linked.ok);
    BOOST_TEST(linked.error.find("same medium as the drive disk") != std::string::npos, linked.error);
    const auto missing = probe({2, "other", bench.folder.path() + "/none", "auto", false});
    BOOST_TEST(missing.error.find("does not exist") != std::string::npos, missing.error);
    BOOST_TEST(probe({3, "disk", bench.image, "auto", false}).ok);
    const std::string copy = bench.folder.path() + "/copy";
    std::filesystem::copy_file(bench.image, copy);
    const auto fine = probe({4, "other", copy, "auto", false});
    BOOST_TEST(fine.ok, fine.error);
    BOOST_TEST(fine.size == 1u << 20);
    BOOST_TEST((fine.kind == DriveKind::disk));

    protocol::Table both = bench.table(2, {});
    both.drives.push_back({"other", hard_link, DriveKind::disk, false, 1});
    arbiter.say(both);
    arbiter.say(bench.table(1, {write7}));
    const auto seen = arbiter.wait_for<protocol::DataPathObserved>(
        [](const protocol::DataPathObserved& observed) { return observed.drives.size() == 2; });
    BOOST_TEST((seen.drives[1].state == protocol::DriveState::failed));
    BOOST_TEST((seen.drives[0].state == protocol::DriveState::ready));
}

BOOST_AUTO_TEST_CASE(the_local_folder_ignores_leases_or_keeps_its_own) {
    Bench bench;
    std::optional<ArbiterDouble> arbiter(std::in_place, bench.socket());
    Running running(bench.folder.path());
    arbiter->wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter->say(bench.table(1, {}));
    arbiter->wait_for<protocol::DataPathObserved>([](const auto& seen) { return !seen.drives.empty(); });
    const auto grant = [&](Mode mode, Epoch epoch) {
        const auto asked = arbiter->wait_for<protocol::LocalAcquire>([](const auto&) { return true; });
        BOOST_TEST((asked.mode == mode));
        arbiter->say(protocol::LocalAnswer{asked.id, epoch != 0, epoch, epoch == 0 ? "blade01 has it" : ""});
    };

    auto refused = std::async(std::launch::async, [&] { return running.open("", {"disk", 0, 0}, Mode::write); });
    // Just started, it asks again for a while: another lease may be its predecessor's.
    do {
        grant(Mode::write, 0);
    } while (refused.wait_for(std::chrono::milliseconds(500)) == std::future_status::timeout);
    const auto no = refused.get();
    BOOST_REQUIRE(!no.ok());
    BOOST_TEST(no.error().code == EBUSY);
    BOOST_TEST(no.error().message.find("blade01") != std::string::npos);

    auto first = std::async(std::launch::async, [&] { return running.open("", {"disk", 0, 0}, Mode::read); });
    grant(Mode::read, 9);
    Result<std::shared_ptr<View>> reader = first.get();
    BOOST_REQUIRE(reader.ok());
    BOOST_TEST((*reader)->info().admission.epoch == 9u);
    Result<std::shared_ptr<View>> second = running.open("", {"disk", 9, 0}, Mode::read);  // shares the lease
    BOOST_REQUIRE(second.ok());
    const auto writer = running.open("", {"disk", 0, 0}, Mode::write);
    BOOST_REQUIRE(!writer.ok());
    BOOST_TEST(writer.error().code == EBUSY);
    running.close(std::move(*reader));
    running.close(std::move(*second));
    const auto released = arbiter->wait_for<protocol::LocalRelease>([](const auto&) { return true; });
    BOOST_TEST(released.epoch == 9u);
    BOOST_TEST(!running.open("", {"disk", 9, 0}, Mode::read).ok());

    arbiter.reset();
    while (true) {
        const auto alone = running.open("", {"disk", 0, 0}, Mode::read);
        BOOST_REQUIRE(!alone.ok());
        if (alone.error().code == EHOSTUNREACH) {
            break;
        }
    }
}

BOOST_AUTO_TEST_CASE(a_drain_is_answered_while_a_handle_is_open) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    Running running(bench.folder.path());
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    admitted(arbiter, write7);
    BOOST_TEST((running.drain("disk", "blade01", 6).outcome == protocol::Outcome::unknown));
    BOOST_TEST((running.drain("disk", "blade02", 7).outcome == protocol::Outcome::unknown));
    Result<std::shared_ptr<View>> view = running.open("blade01", {"disk", 7, 0}, Mode::write);
    BOOST_REQUIRE(view.ok());
    auto draining = std::async(std::launch::async, [&] { return running.drain("disk", "blade01", 7); });
    // The loop has taken the drain when it answers what was asked behind it.
    BOOST_TEST((running.drain("disk", "blade01", 6).outcome == protocol::Outcome::unknown));
    BOOST_TEST((draining.wait_for(0s) == std::future_status::timeout));
    running.close(std::move(*view));
    BOOST_TEST((draining.get().outcome == protocol::Outcome::drained));
}

BOOST_AUTO_TEST_CASE(a_stolen_authority_is_believed_beside_the_new_one) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const std::string pki = bench.folder.path() + "/pki";
    const Authority stolen(pki);
    const Authority next(bench.folder.path() + "/next");
    const Running running(bench.folder.path(), pki);
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    admitted(arbiter, write7);
    const Client thief = connected_as(stolen.identity, running, "blade01/disk");
    BOOST_TEST_REQUIRE((thief && reads(thief)));
    // At one stroke: nobody sees the folder missing, and the new list is empty.
    std::filesystem::rename(pki, bench.folder.path() + "/former");
    std::filesystem::rename(next.pki, pki);
    BOOST_TEST(!connected_as(stolen.identity, running, "blade01/disk"));
    BOOST_TEST(becomes_true([&] { return !reads(thief); }));
    BOOST_TEST(!connected_as(stolen.identity, running, "blade01/disk"));
    BOOST_TEST(becomes_true([&] { return connected_as(next.identity, running, "blade01/disk") != nullptr; }));
}

BOOST_AUTO_TEST_CASE(a_new_authority_that_is_seen_half_written_is_never_seen_whole) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const std::string pki = bench.folder.path() + "/pki";
    const Authority first(pki);
    const Authority next(bench.folder.path() + "/next");
    const Running running(bench.folder.path(), pki);
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    arbiter.say(bench.table(1, {write7}));
    admitted(arbiter, write7);
    const Client there = connected_as(first.identity, running, "blade01/disk");
    BOOST_TEST_REQUIRE((there && reads(there)));
    for (const char* last : {"/ca-cert.pem", "/revoked"}) {
        std::filesystem::rename(next.pki + last, bench.folder.path() + last);
    }
    std::filesystem::rename(pki, bench.folder.path() + "/former");
    std::filesystem::rename(next.pki, pki);
    // Whoever ended this has looked at the other files before.
    BOOST_TEST(becomes_true([&] { return !reads(there); }));
    for (const char* last : {"/ca-cert.pem", "/revoked"}) {
        BOOST_TEST(!connected_as(first.identity, running, "blade01/disk"));
        BOOST_TEST(!connected_as(next.identity, running, "blade01/disk"));
        std::filesystem::rename(bench.folder.path() + last, pki + last);
    }
    BOOST_TEST(becomes_true([&] { return connected_as(next.identity, running, "blade01/disk") != nullptr; }));
    BOOST_TEST(!connected_as(first.identity, running, "blade01/disk"));
}

BOOST_AUTO_TEST_CASE(one_blade_or_strangers_take_every_connection) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    Authority authority(bench.folder.path() + "/pki");
    const std::string other = authority.give("blade02");
    const Running running(bench.folder.path(), authority.pki, 80);
    arbiter.wait_for<protocol::DataPathHello>([](const auto&) { return true; });
    const Admission read7{"disk", "blade01", Mode::read, 7};
    const Admission read8{"disk", "blade02", Mode::read, 8};
    arbiter.say(bench.table(1, {read7, read8}));
    admitted(arbiter, read8);
    std::vector<Client> greedy;
    for (int i = 0; i < 64; ++i) {
        greedy.push_back(connected_as(authority.identity, running, "blade01/disk"));
        BOOST_TEST_REQUIRE(greedy.back() != nullptr);
    }
    BOOST_TEST(!connected_as(authority.identity, running, "blade01/disk"));
    BOOST_TEST(connected_as(other, running, "blade02/disk"));
    greedy.clear();
    std::vector<UniqueFd> strangers;
    for (int i = 0; i < 100; ++i) {
        strangers.push_back(raw_client(running));
    }
    BOOST_TEST(becomes_true([&] { return connected_as(other, running, "blade02/disk") != nullptr; }));
}

BOOST_AUTO_TEST_CASE(who_proves_nothing_stays) {
    Bench bench;
    ArbiterDouble arbiter(bench.socket());
    const Authority authority(bench.folder.path() + "/pki");
    const Running running(bench.folder.path(), authority.pki);
    using namespace std::string_literals;
    const std::string starttls = "\0\0\0\1IHAVEOPT\0\0\0\5\0\0\0\0"s;
    std::vector<UniqueFd> strangers;
    for (const std::string& says : {""s, "\0\0\0\1IHAVE"s, starttls}) {
        strangers.push_back(raw_client(running, says));
    }
    for (const UniqueFd& stranger : strangers) {
        const timeval limit{20, 0};
        setsockopt(stranger.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        char piece[64];
        ssize_t got = 0;
        do {
            got = ::recv(stranger.get(), piece, sizeof piece, 0);
        } while (got > 0);
        BOOST_TEST(got == 0);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
