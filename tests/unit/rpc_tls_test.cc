#define BOOST_TEST_DYN_LINK
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "lib/base/fd.h"
#include "lib/rpc/client.h"
#include "lib/rpc/server.h"
#include "lib/tls/authority.h"
#include "lib/tls/folder.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::rpc {
namespace {

using namespace std::chrono_literals;

// A client that says what a well-bred one would not, over TLS or before it.
class RawClient {
public:
    explicit RawClient(const Endpoint& server) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        ::signal(SIGPIPE, SIG_IGN);  // which SSL_write() would raise
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(server.port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        BOOST_TEST_REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    void shake_hands(const tls::Context& context) {
        tls_.reset(SSL_new(context.get()));
        SSL_set_fd(tls_.get(), fd_.get());
        BOOST_TEST_REQUIRE(SSL_connect(tls_.get()) == 1);
    }
    void say(const std::string& text) { SSL_write(tls_.get(), text.data(), static_cast<int>(text.size())); }
    void say_plain(const std::string& text) { ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
    bool is_hung_up_on() {
        const timeval limit{20, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        char byte = 0;
        return ::recv(fd_.get(), &byte, 1, 0) == 0;
    }
    // Empty at the end.
    std::string hear() {
        std::array<char, 4096> piece;
        const int got = SSL_read(tls_.get(), piece.data(), piece.size());
        return {piece.data(), static_cast<std::size_t>(std::max(got, 0))};
    }
    // Everything until the other side ends the connection.
    std::string hear_all() {
        std::string heard;
        for (std::string piece = hear(); !piece.empty(); piece = hear()) {
            heard += piece;
        }
        return heard;
    }

private:
    struct Free {
        void operator()(SSL* tls) const { SSL_free(tls); }
    };
    UniqueFd fd_;
    std::unique_ptr<SSL, Free> tls_;
};

// A server with TLS that answers with who asks, and a blade's folder.
struct Served {
    Served() : authority(tls::Authority::create().value()), thread([this] { reactor.run(); }) {
        const tls::Key key = tls::make_key().value();
        const auto own = authority.issue(key.get(), {tls::Identity::Kind::module, "mm", tls::Role::view}, 24h);
        write("module.pem", tls::to_pem(key.get()).value() + own->certificate + authority.certificate_pem());
        write("ca.pem", authority.certificate_pem());
        write("revoked", "");
        const tls::Key blade = tls::key_in(folder.path() + "/blade").value();
        issued = authority.issue(blade.get(), {tls::Identity::Kind::blade, "blade01", tls::Role::view}, 24h).value();
        BOOST_TEST(tls::keep_certificate(folder.path() + "/blade", issued.certificate, authority.certificate_pem(),
                                         tls::Identity::Kind::blade, "blade01").ok());
        run([this] {
            Handlers handlers;
            handlers.on_request = [](const Request& request, const Reply& reply) {
                // More than sockets hold.
                reply({200, request.path == "/large"
                                ? std::string(std::size_t{16} << 20, 'x')
                                : nlohmann::json{{"identity", request.peer.identity}, {"secure", request.peer.secure}}.dump()});
            };
            handlers.on_channel = [this](const std::string&, std::shared_ptr<Channel> channel) {
                channels.push_back(std::move(channel));
            };
            handlers.on_refused = [this](const Peer&, const std::string& identity, const std::string& reason) {
                refusals.push_back(identity + " " + reason);
            };
            server.emplace(reactor, std::move(handlers));
            server->use_tls(std::move(*tls::Context::server({path("module.pem"), path("module.pem"), path("ca.pem"), path("revoked")},
                                                            tls::Context::Clients::may_identify)));
            BOOST_TEST(server->listen(endpoint).ok());
        });
    }
    ~Served() {
        run([this] {
            link.reset();
            channels.clear();
            server.reset();
        });
        reactor.stop();
        thread.join();
    }
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
    void run(std::function<void()> work) {
        std::promise<void> done;
        reactor.post([&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }
    Secure as_blade() const { return tls::secure_by(path("blade"), ""); }
    Secure as_nobody() const {
        return [this] { return tls::Context::enrolling(authority.fingerprint()); };
    }
    Result<Response> ask(const Secure& secure) const { return call(endpoint, "GET", "/", "", 10s, secure); }

    TemporaryFolder folder;
    tls::Authority authority;
    tls::Issued issued;
    Endpoint endpoint{"", "127.0.0.1", 14799};
    Reactor reactor;
    std::optional<Server> server;
    std::vector<std::shared_ptr<Channel>> channels;
    std::vector<std::string> refusals;
    std::unique_ptr<Link> link;
    std::thread thread;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(rpc_tls)

BOOST_AUTO_TEST_CASE(who_asks_is_not_known_or_is_another) {
    Served served;
    const auto known = served.ask(served.as_blade());
    BOOST_TEST_REQUIRE(known.ok(), (known.ok() ? "" : known.error().message));
    BOOST_TEST(nlohmann::json::parse(known->body)["identity"] == "drivebay:blade/blade01");
    const auto unknown = served.ask(served.as_nobody());
    BOOST_TEST_REQUIRE(unknown.ok());
    BOOST_TEST(nlohmann::json::parse(unknown->body)["identity"] == "");
    BOOST_TEST(nlohmann::json::parse(unknown->body)["secure"] == true);
    BOOST_TEST(!served.ask({}).ok());  // plain
}

// The list of revoked certificates is a pipe at the first look, in the handshake, and has the certificate at the second.
BOOST_AUTO_TEST_CASE(one_that_is_revoked_during_its_handshake_is_answered_or_nobody_hears_of_it) {
    Served served;
    const std::string list = served.path("revoked");
    served.write("next", served.issued.serial + " drivebay:blade/blade01\n");
    BOOST_REQUIRE(std::remove(list.c_str()) == 0 && ::mkfifo(list.c_str(), 0600) == 0);
    std::thread revokes([&] {
        // Opened as soon as the server reads it.
        const UniqueFd pipe(::open(list.c_str(), O_WRONLY | O_CLOEXEC));
        std::rename(served.path("next").c_str(), list.c_str());
    });
    BOOST_TEST(!served.ask(served.as_blade()).ok());
    revokes.join();
    served.run([&] {
        BOOST_TEST_REQUIRE(served.refusals.size() == 1u);
        BOOST_TEST(served.refusals[0] == "drivebay:blade/blade01 the certificate was revoked");
    });
}

BOOST_AUTO_TEST_CASE(a_revoked_one_is_answered_and_nobody_hears_of_it) {
    Served served;
    served.write("revoked", served.issued.serial + " drivebay:blade/blade01\n");
    BOOST_TEST(!served.ask(served.as_blade()).ok());
    served.run([&] {
        BOOST_TEST_REQUIRE(served.refusals.size() == 1u);
        BOOST_TEST(served.refusals[0] == "drivebay:blade/blade01 the certificate was revoked");
    });
}

BOOST_AUTO_TEST_CASE(a_link_that_is_cut_goes_on) {
    Served served;
    std::promise<void> opened;
    std::promise<std::string> closed;
    served.run([&] {
        Link::Callbacks callbacks;
        callbacks.on_open = [&] { opened.set_value(); };
        callbacks.on_message = [](const nlohmann::json&) {};
        callbacks.on_close = [&, told = false](const std::string& reason) mutable {
            if (!std::exchange(told, true)) {
                closed.set_value(reason);
            }
        };
        served.link = std::make_unique<Link>(served.reactor, served.endpoint, "/", std::move(callbacks), served.as_blade());
    });
    BOOST_TEST_REQUIRE((opened.get_future().wait_for(10s) == std::future_status::ready));
    served.run([&] {
        BOOST_TEST_REQUIRE(served.channels.size() == 1u);
        BOOST_TEST(served.channels[0]->peer().identity == "drivebay:blade/blade01");
        served.write("revoked", served.issued.serial + "\n");
        served.server->cut([&](const Peer& peer) { return peer.serial == "00"; }, "another's");
        BOOST_TEST(served.link->is_open());
        served.server->cut([&](const Peer& peer) { return peer.serial == served.issued.serial; }, "revoked");
    });
    BOOST_TEST((closed.get_future().wait_for(10s) == std::future_status::ready));
}

BOOST_AUTO_TEST_CASE(a_stranger_asks_twice_on_one_connection) {
    Served served;
    const std::string request = "GET / HTTP/1.1\r\nHost: mm\r\n\r\n";
    const auto answers = [&](const Secure& secure) {
        RawClient client(served.endpoint);
        const auto context = secure();
        client.shake_hands(**context);
        client.say(request + request + "GET / HTTP/1.1\r\nHost: mm\r\nConnection: close\r\n\r\n");
        const std::string heard = client.hear_all();
        std::size_t count = 0;
        for (std::size_t at = heard.find("HTTP/1.1 200"); at != std::string::npos; at = heard.find("HTTP/1.1 200", at + 1)) {
            ++count;
        }
        return count;
    };
    BOOST_TEST(answers(served.as_nobody()) == 1u);
    BOOST_TEST(answers(served.as_blade()) == 3u);
}

BOOST_AUTO_TEST_CASE(one_identity_takes_every_connection) {
    Served served;
    const std::string request = "GET / HTTP/1.1\r\nHost: mm\r\n\r\n";
    std::vector<std::unique_ptr<RawClient>> greedy;
    const auto is_answered = [&] {
        const auto context = served.as_blade()();
        greedy.push_back(std::make_unique<RawClient>(served.endpoint));
        greedy.back()->shake_hands(**context);
        greedy.back()->say(request);
        return !greedy.back()->hear().empty();
    };
    for (int i = 0; i < 64; ++i) {
        BOOST_TEST_REQUIRE(is_answered());
    }
    BOOST_TEST(!is_answered());
    BOOST_TEST(served.ask(served.as_nobody()).ok());
    served.run([&] {
        const std::string refusal = served.refusals.empty() ? "" : served.refusals[0];
        BOOST_TEST(refusal == "drivebay:blade/blade01 it has 64 connections already");
    });
    greedy.clear();
    const Instant limit = BootClock::now() + 20s;
    bool answered = false;
    while (!answered && BootClock::now() < limit) {
        answered = is_answered();
    }
    BOOST_TEST(answered);
}

// Nothing, half a hello, a request and no more, and a large answer that is never read.
BOOST_AUTO_TEST_CASE(who_proves_nothing_stays) {
    Served served;
    RawClient silent(served.endpoint);
    RawClient slow(served.endpoint);
    slow.say_plain("\x16\x03\x01");
    RawClient half(served.endpoint);
    RawClient unread(served.endpoint);
    const auto context = served.as_nobody()();
    half.shake_hands(**context);
    half.say("GET / HTTP/1.1\r\n");
    unread.shake_hands(**context);
    const auto sockets = [] {
        const std::filesystem::directory_iterator open("/proc/self/fd");
        return std::distance(begin(open), end(open));
    };
    const auto before = sockets();
    unread.say("GET /large HTTP/1.1\r\nHost: mm\r\n\r\n");
    BOOST_TEST(silent.is_hung_up_on());
    BOOST_TEST(slow.is_hung_up_on());
    BOOST_TEST(half.hear_all().empty());
    const Instant limit = BootClock::now() + 20s;
    while (sockets() > before - 4 && BootClock::now() < limit) {
        std::this_thread::yield();
    }
    BOOST_TEST(sockets() == before - 4);
}

BOOST_AUTO_TEST_CASE(a_stranger_opens_a_link) {
    Served served;
    std::promise<std::string> closed;
    served.run([&] {
        Link::Callbacks callbacks;
        callbacks.on_open = [] { BOOST_ERROR("it was opened"); };
        callbacks.on_message = [](const nlohmann::json&) {};
        callbacks.on_close = [&, told = false](const std::string& reason) mutable {
            if (!std::exchange(told, true)) {
                closed.set_value(reason);
            }
        };
        served.link = std::make_unique<Link>(served.reactor, served.endpoint, "/", std::move(callbacks), served.as_nobody());
    });
    BOOST_TEST((closed.get_future().wait_for(10s) == std::future_status::ready));
    served.run([&] { BOOST_TEST(served.channels.empty()); });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::rpc
