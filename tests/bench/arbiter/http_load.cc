// Replays HTTP requests over a number of connections that stay open, each request sent when the one before it on the same
// connection was answered and PAUSE_MS went by, and tells how long each took. Knows nothing of whom it asks, so that two
// servers can be asked in the same way.
//
//   http-load ADDRESS CONNECTIONS PAUSE_MS <REQUESTS      ADDRESS: HOST:PORT or the path of a Unix socket
//
// A line a request: METHOD <tab> TARGET <tab> BODY; the connections take turns. On stdout a JSON object: us (each request's
// microseconds), seconds (of the whole), refused (answers that were not 2xx), first_refusal.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/fd.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "http-load: %s\n", why.c_str());
    std::exit(1);
}

drivebay::UniqueFd connect_to(const std::string& address) {
    if (address.front() == '/') {
        drivebay::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        address.copy(where.sun_path, sizeof where.sun_path - 1);
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
            give_up("nobody listens on " + address);
        }
        return fd;
    }
    const std::size_t colon = address.rfind(':');
    drivebay::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &where.sin_addr);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
        give_up("nobody listens on " + address);
    }
    const int yes = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

// Whether the answer is whole: by Content-Length, or by the last chunk.
bool is_whole(const std::string& answer) {
    const std::size_t head = answer.find("\r\n\r\n");
    if (head == std::string::npos) {
        return false;
    }
    const std::size_t length = answer.find("Content-Length: ");
    if (length < head) {
        return answer.size() >= head + 4 + std::strtoull(answer.c_str() + length + 16, nullptr, 10);
    }
    return answer.ends_with("0\r\n\r\n");
}

struct Connection {
    std::vector<std::string> requests;
    std::vector<double> microseconds;
    std::size_t refused = 0;
    std::string first_refusal;

    void run(const std::string& address, std::chrono::milliseconds pause) {
        const drivebay::UniqueFd fd = connect_to(address);
        std::string answer;
        char bytes[65536];
        for (const std::string& request : requests) {
            answer.clear();
            std::this_thread::sleep_for(pause);
            const auto begin = Clock::now();
            if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
                static_cast<ssize_t>(request.size())) {
                give_up("a connection was lost");
            }
            while (!is_whole(answer)) {
                const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, 0);
                if (got <= 0) {
                    give_up("a connection was lost after: " + answer);
                }
                answer.append(bytes, static_cast<std::size_t>(got));
            }
            microseconds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
            if (answer.compare(8, 2, " 2") != 0 && refused++ == 0) {
                first_refusal = answer.substr(0, 500);
            }
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        give_up("usage: http-load ADDRESS CONNECTIONS PAUSE_MS <REQUESTS");
    }
    std::vector<Connection> connections(std::stoul(argv[2]));
    std::string line;
    for (std::size_t count = 0; std::getline(std::cin, line); ++count) {
        const std::size_t first = line.find('\t');
        const std::size_t second = line.find('\t', first + 1);
        if (second == std::string::npos) {
            give_up("this is no request: " + line);
        }
        const std::string body = line.substr(second + 1);
        connections[count % connections.size()].requests.push_back(
            line.substr(0, first) + " " + line.substr(first + 1, second - first - 1) +
            " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    const std::chrono::milliseconds pause(std::stoi(argv[3]));
    const auto begin = Clock::now();
    std::vector<std::thread> threads;
    for (Connection& connection : connections) {
        threads.emplace_back([&connection, pause, address = std::string(argv[1])] { connection.run(address, pause); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    nlohmann::json result;
    result["seconds"] = std::chrono::duration<double>(Clock::now() - begin).count();
    std::vector<double> microseconds;
    std::size_t refused = 0;
    for (const Connection& connection : connections) {
        microseconds.insert(microseconds.end(), connection.microseconds.begin(), connection.microseconds.end());
        refused += connection.refused;
        if (!connection.first_refusal.empty()) {
            result["first_refusal"] = connection.first_refusal;
        }
    }
    result["us"] = microseconds;
    result["refused"] = refused;
    std::cout << result << "\n";
}
