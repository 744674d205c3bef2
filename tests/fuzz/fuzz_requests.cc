#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "arbiter/service.h"
#include "lib/base/fd.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/stored_findings.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::fuzz {

namespace {

// The whole arbiter on a thread of its own, behind its Unix socket: whoever comes there may everything.
class Arbiter {
public:
    Arbiter() {
        settings_.socket = folder_.path() + "/socket";
        settings_.state_dir = folder_.path() + "/state";
        settings_.audit_log = folder_.path() + "/audit.log";
        settings_.listen.clear();
        service_.emplace(reactor_, settings_, [this](const std::string&) { deposed_ = true; });
        thread_ = std::thread([this] { reactor_.run(); });
        run([this] { require(service_->start().ok(), "the arbiter does not start"); });
    }
    ~Arbiter() {
        run([this] { service_.reset(); });
        reactor_.stop();
        thread_.join();
    }

    const std::string& socket() const { return settings_.socket; }
    // Somebody has said that a later arbiter leads, or enough has gathered.
    bool is_spent() { return ++inputs_ > 500 || deposed_; }
    std::vector<std::string> findings() {
        std::vector<std::string> found;
        run([this, &found] { found = stored_findings(service_->state()); });
        return found;
    }

private:
    void run(const std::function<void()>& work) {
        std::promise<void> done;
        reactor_.post([&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    TemporaryFolder folder_;
    arbiter::Settings settings_;
    rpc::Reactor reactor_;
    std::optional<arbiter::Service> service_;
    std::atomic<bool> deposed_ = false;
    int inputs_ = 0;
    std::thread thread_;
};

UniqueFd connect_to(const std::string& path) {
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    // A WebSocket that neither says anything nor closes is given up after 5 s, and its end waited for as long.
    const timeval limit{8, 0};
    require(::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
            "the arbiter takes no connection");
    return client;
}

// All that comes until the other side ends it; nothing: it does not.
std::optional<std::string> read_all(int fd) {
    std::string answer;
    char buffer[4096];
    for (;;) {
        const ssize_t size = ::read(fd, buffer, sizeof buffer);
        if (size < 0 && errno == EAGAIN) {
            return std::nullopt;
        }
        if (size <= 0) {
            return answer;
        }
        answer.append(buffer, static_cast<std::size_t>(size));
    }
}

}  // namespace

void requests(Bytes input) {
    static std::unique_ptr<Arbiter> arbiter;
    if (!arbiter || arbiter->is_spent()) {
        arbiter.reset();
        arbiter = std::make_unique<Arbiter>();
    }
    Reader reader(input);
    const std::size_t first = reader.number<std::uint8_t>();  // how much comes in one piece
    const std::string text = reader.rest();
    const UniqueFd client = connect_to(arbiter->socket());
    const std::size_t split = std::min(first, text.size());
    // It may have hung up on us in the middle.
    (void)::send(client.get(), text.data(), split, MSG_NOSIGNAL);
    (void)::send(client.get(), text.data() + split, text.size() - split, MSG_NOSIGNAL);
    ::shutdown(client.get(), SHUT_WR);
    const std::optional<std::string> answer = read_all(client.get());
    // Whoever asks to wait is let wait.
    const bool may_wait = text.find("wait") != std::string::npos || text.find('%') != std::string::npos;
    require(answer || may_wait, "a connection is neither answered nor ended");
    require(!answer || answer->find("HTTP/1.1 500") == std::string::npos, "a request is dropped");
    require(arbiter->findings().empty(), "a request makes the arbiter's state one that it would refuse to start from");
}

}  // namespace drivebay::fuzz
