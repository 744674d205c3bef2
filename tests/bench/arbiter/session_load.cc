// Many blades' sessions in one process, over the arbiter's real listener: plain sockets and one epoll, so that the load
// costs far less than what it loads. It keeps doc/PROTOCOL.md as far as a session needs: hello, renewals, and an answer to
// each desired state that says "seen, nothing loaded".
//
//   session-load HOST:PORT SESSIONS PREFIX SLOTS      blades PREFIX0 … PREFIX<SESSIONS-1>, each with so many slots
//
// Says {"welcomed":N} once all are welcome, then does what stdin tells, one JSON line an answer:
//   hold SECONDS                    each renews at a third of its TTL, spread evenly
//   blast SECONDS SESSIONS          so many renew as fast as they are answered
// and tells renewals, seconds, us (a sample of answer times). Between words it holds. It ends with stdin.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lib/base/fd.h"

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "session-load: %s\n", why.c_str());
    std::exit(1);
}

// A client's frame with an all-zero mask (RFC 6455, section 5.2): the payload stands as it is.
std::string frame(unsigned opcode, const std::string& payload) {
    std::string bytes(1, static_cast<char>(0x80 | opcode));
    if (payload.size() < 126) {
        bytes += static_cast<char>(0x80 | payload.size());
    } else {
        bytes += static_cast<char>(0x80 | 126);
        bytes += static_cast<char>(payload.size() >> 8);
        bytes += static_cast<char>(payload.size() & 0xff);
    }
    return bytes + std::string(4, '\0') + payload;
}

struct Session {
    drivebay::UniqueFd fd;
    std::string name;
    std::string incoming;
    bool upgraded = false;
    bool welcome = false;
    bool blasting = false;
    Clock::time_point asked;
};

class Load {
public:
    Load(const std::string& address, std::size_t count, const std::string& prefix, int slots)
        : epoll_(::epoll_create1(EPOLL_CLOEXEC)), sessions_(count) {
        const std::size_t colon = address.rfind(':');
        where_.sin_family = AF_INET;
        where_.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
        ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &where_.sin_addr);
        for (int slot = 0; slot < slots; ++slot) {
            slots_.push_back({{"slot", slot}, {"kind", "disk"}, {"state", "empty"}, {"drive", nullptr}, {"epoch", 0},
                              {"host_locked", false}, {"error", ""}, {"last", nullptr}});
        }
        renew_ = frame(1, R"({"type":"renew","seq":1})");
        heard_ = frame(1, R"({"type":"heard","seq":1})");
        for (std::size_t i = 0; i < count; ++i) {
            sessions_[i].name = prefix + std::to_string(i);
        }
    }

    // A few at a time: the listener's backlog is not what is measured.
    void connect_all() {
        for (std::size_t next = 0; welcome_ < sessions_.size();) {
            while (next < sessions_.size() && next < welcome_ + 64) {
                connect(sessions_[next++]);
            }
            renew_in_turn();
            turn(1);
        }
    }

    json hold(double seconds) {
        begin();
        const auto start = Clock::now();
        while (since(start) < seconds) {
            renew_in_turn();
            turn(1);
        }
        return end(start);
    }

    json blast(double seconds, std::size_t how_many) {
        begin();
        const auto start = Clock::now();
        for (std::size_t i = 0; i < how_many; ++i) {
            sessions_[i].blasting = true;
            renew(sessions_[i]);
        }
        while (since(start) < seconds) {
            turn(1);
        }
        json result = end(start);
        for (std::size_t i = 0; i < how_many; ++i) {
            sessions_[i].blasting = false;
        }
        return result;
    }

    // Holds until stdin has something.
    bool wait_for_word() {
        pollfd word{STDIN_FILENO, POLLIN, 0};
        while (::poll(&word, 1, 0) == 0) {
            renew_in_turn();
            turn(1);
        }
        return true;
    }

private:
    static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

    void connect(Session& session) {
        session.fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!session.fd || ::connect(session.fd.get(), reinterpret_cast<sockaddr*>(&where_), sizeof where_) != 0) {
            give_up("cannot connect: " + std::string(std::strerror(errno)));
        }
        const int yes = 1;
        ::setsockopt(session.fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &session;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session.fd.get(), &event);
        write(session, "GET /v1/link/blade HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    }

    void write(Session& session, const std::string& bytes) {
        if (::send(session.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
            give_up(session.name + "'s link was lost");
        }
    }

    // As many as are due since it was last called: a session a third of the TTL after its last turn.
    void renew_in_turn() {
        const auto now = Clock::now();
        due_ += std::chrono::duration<double>(now - turned_).count() * static_cast<double>(welcome_) * 3 / ttl_;
        turned_ = now;
        for (; due_ >= 1; --due_) {
            Session& session = sessions_[turn_++ % sessions_.size()];
            if (session.welcome) {
                renew(session);
            }
        }
    }

    void renew(Session& session) {
        session.asked = Clock::now();
        write(session, renew_);
    }

    json observed(std::uint64_t version) const {
        return {{"version", version}, {"udc", "configured"}, {"speed", "high-speed"}, {"slots", slots_}};
    }

    void turn(int limit_ms) {
        epoll_event events[256];
        const int count = ::epoll_wait(epoll_.get(), events, 256, limit_ms);
        for (int i = 0; i < count; ++i) {
            read(*static_cast<Session*>(events[i].data.ptr));
        }
    }

    void read(Session& session) {
        char bytes[65536];
        const ssize_t got = ::recv(session.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (got <= 0) {
            give_up(session.name + "'s link was ended");
        }
        session.incoming.append(bytes, static_cast<std::size_t>(got));
        if (!session.upgraded) {
            const std::size_t head = session.incoming.find("\r\n\r\n");
            if (head == std::string::npos) {
                return;
            }
            session.incoming.erase(0, head + 4);
            session.upgraded = true;
            json hello{{"type", "hello"}, {"protocol", 1}, {"blade", session.name}, {"session", nullptr},
                       {"boot_id", "bench"}, {"term", 0}, {"observed", observed(0)}};
            write(session, frame(1, hello.dump()));
        }
        std::size_t used = 0;
        while (take_frame(session, used)) {
        }
        session.incoming.erase(0, used);
    }

    bool take_frame(Session& session, std::size_t& used) {
        const auto* at = reinterpret_cast<const unsigned char*>(session.incoming.data()) + used;
        const std::size_t there = session.incoming.size() - used;
        if (there < 2) {
            return false;
        }
        std::size_t head = 2;
        std::size_t length = at[1] & 0x7f;
        if (length >= 126) {
            head = length == 126 ? 4 : 10;
            if (there < head) {
                return false;
            }
            length = 0;
            for (std::size_t i = 2; i < head; ++i) {
                length = length << 8 | at[i];
            }
        }
        if (there < head + length) {
            return false;
        }
        const std::string_view payload(session.incoming.data() + used + head, length);
        used += head + length;
        hear(session, at[0] & 0x0f, payload);
        return true;
    }

    void hear(Session& session, unsigned opcode, std::string_view payload) {
        if (opcode == 9) {
            write(session, frame(10, std::string(payload)));
        } else if (opcode == 8) {
            give_up(session.name + " was turned away: " + std::string(payload.substr(std::min<std::size_t>(2, payload.size()))));
        } else if (opcode == 1 && payload.find(R"("type":"renewed")") != std::string_view::npos) {
            renewed(session);
        } else if (opcode == 1) {
            const json message = json::parse(payload);
            if (message["type"] == "welcome" && !session.welcome) {
                session.welcome = true;
                ttl_ = message["ttl_ms"].get<double>() / 1000;
                ++welcome_;
            } else if (message["type"] == "desired") {
                json answer = observed(message["version"]);
                answer["type"] = "observed";
                write(session, frame(1, answer.dump()));
            } else if (message["type"] == "refused") {
                give_up(session.name + " was refused: " + message["reason"].get<std::string>());
            }
        }
    }

    void renewed(Session& session) {
        if (++renewals_ % 8 == 0) {
            microseconds_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - session.asked).count());
        }
        if (session.blasting) {
            session.asked = Clock::now();
            write(session, heard_ + renew_);
        } else {
            write(session, heard_);
        }
    }

    void begin() {
        renewals_ = 0;
        microseconds_.clear();
    }

    json end(Clock::time_point start) const {
        return {{"renewals", renewals_}, {"seconds", since(start)}, {"us", microseconds_}};
    }

    drivebay::UniqueFd epoll_;
    std::vector<Session> sessions_;
    sockaddr_in where_{};
    json slots_ = json::array();
    std::string renew_;
    std::string heard_;
    std::size_t welcome_ = 0;
    double ttl_ = 10;
    double due_ = 0;
    std::size_t turn_ = 0;
    Clock::time_point turned_ = Clock::now();
    std::size_t renewals_ = 0;
    std::vector<double> microseconds_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        give_up("usage: session-load HOST:PORT SESSIONS PREFIX SLOTS");
    }
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const std::size_t count = std::stoul(argv[2]);
    Load load(argv[1], count, argv[3], std::stoi(argv[4]));
    load.connect_all();
    std::cout << json{{"welcomed", count}} << std::endl;
    std::string line;
    while (load.wait_for_word() && std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string word;
        double seconds = 0;
        double number = 0;
        words >> word >> seconds >> number;
        if (word == "hold") {
            std::cout << load.hold(seconds) << std::endl;
        } else if (word == "blast") {
            std::cout << load.blast(seconds, std::min(count, static_cast<std::size_t>(number))) << std::endl;
        } else {
            give_up("no such word: " + line);
        }
    }
}
