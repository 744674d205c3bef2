#define BOOST_TEST_DYN_LINK
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <string>

#include "lib/base/fd.h"
#include "lib/program/systemd.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::program {
namespace {

// What systemd is to a service: a datagram socket that the environment names.
class Manager {
public:
    explicit Manager(bool abstract = false) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        const std::string path = (abstract ? "@" : "") + folder_.path() + "/notify";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        if (abstract) {
            address.sun_path[0] = '\0';
        }
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
        BOOST_REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~Manager() {
        ::unsetenv("NOTIFY_SOCKET");
        ::unsetenv("WATCHDOG_USEC");
        ::unsetenv("WATCHDOG_PID");
    }
    // The next datagram; empty: there is none now.
    std::string heard() {
        char text[4096];
        const ssize_t size = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
        return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : "";
    }

private:
    TemporaryFolder folder_;
    UniqueFd socket_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(systemd)

BOOST_AUTO_TEST_CASE(a_service_manager_does_not_hear_what_is_told) {
    for (const bool abstract : {false, true}) {
        Manager manager(abstract);
        BOOST_TEST(notify_systemd("READY=1\nSTATUS=up"));
        BOOST_TEST(manager.heard() == "READY=1\nSTATUS=up");
        BOOST_TEST(notify_reloading());
        BOOST_TEST(manager.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }
}

BOOST_AUTO_TEST_CASE(without_a_service_manager_telling_fails_aloud) {
    ::unsetenv("NOTIFY_SOCKET");
    BOOST_TEST(!notify_systemd("READY=1"));
    ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    BOOST_TEST(!notify_systemd("READY=1"));
    ::setenv("NOTIFY_SOCKET", std::string(300, 'x').c_str(), 1);
    BOOST_TEST(!notify_systemd("READY=1"));
    ::unsetenv("NOTIFY_SOCKET");
}

BOOST_AUTO_TEST_CASE(nonsense_is_taken_for_a_watchdog) {
    for (const char* text : {"", "never", "0", "-5"}) {
        ::setenv("WATCHDOG_USEC", text, 1);
        BOOST_TEST(!watchdog_limit());
    }
    // Its parent's, where systemd knows the parent.
    ::setenv("WATCHDOG_USEC", "30000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    BOOST_TEST((watchdog_limit() == Duration(std::chrono::seconds(30))));
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
    BOOST_TEST(!watchdog_limit());
}

BOOST_AUTO_TEST_CASE(a_program_whose_other_loop_hangs_goes_on_beating) {
    rpc::Reactor reactor;
    int looks = 0;
    int beats = 0;
    std::function<void()> held;
    const auto look = [&](std::function<void()> alive) {
        if (++looks < 3) {
            alive();
        } else {
            held = std::move(alive);  // the other loop does not answer
        }
    };
    Watchdog watchdog(reactor, std::chrono::milliseconds(10), look, [&] { ++beats; });
    rpc::Timer end(reactor);
    end.set(std::chrono::milliseconds(300), [&] { reactor.stop(); });
    reactor.run();
    BOOST_TEST(looks == 3);
    BOOST_TEST(beats == 2);
}

BOOST_AUTO_TEST_CASE(a_watchdog_is_not_told_of_life) {
    Manager manager;
    ::setenv("WATCHDOG_USEC", "30000", 1);
    rpc::Reactor reactor;
    Watchdog watchdog(reactor);
    rpc::Timer end(reactor);
    end.set(std::chrono::milliseconds(300), [&] { reactor.stop(); });
    reactor.run();
    BOOST_TEST(manager.heard() == "WATCHDOG=1");
    BOOST_TEST(manager.heard() == "WATCHDOG=1");
    ::unsetenv("WATCHDOG_USEC");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::program
