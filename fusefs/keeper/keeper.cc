#include "fusefs/keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string_view>

#include "fusefs/keeper/fuse_mount.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/program/systemd.h"

namespace drivebay {

namespace {

using namespace std::chrono_literals;

// A server that crashes sooner than this did not crash by chance.
constexpr Duration quick_crash = 2s;
constexpr unsigned suspicious_crashes = 3;
constexpr Duration first_delay = 50ms;
constexpr Duration last_delay = 1s;

// In server_beat_interval()s. Looks are counted and not time, so that a machine that slept, or is short of processors, finds
// no server hanging that could not run either.
constexpr unsigned looks_a_limit = 30;
constexpr unsigned looks_while_serving = 5;

class Keeper {
public:
    Keeper(KeptSession session, const KeeperSettings& settings, program::Readiness& readiness)
        : session_(std::move(session)), settings_(settings), readiness_(readiness) {}

    int run();

private:
    bool listen_to_signals();
    bool start_server();
    [[noreturn]] void become_server(int ready);
    void wait_for_events();
    void hear_server();
    // A watch's turn has come: is the server still there?
    void look();
    void on_signal(int number);
    // The exit status, if that was the end.
    std::optional<int> on_server_end(int status);
    int give_up(int status);

    KeptSession session_;
    const KeeperSettings& settings_;
    program::Readiness& readiness_;
    sigset_t signals_{};
    UniqueFd signal_;
    UniqueFd ready_;  // the server tells by it that it serves, and then again and again that it still does
    pid_t server_ = -1;
    Instant started_{};
    std::optional<Instant> start_at_;  // while there is no server
    const std::optional<Duration> beat_ = server_beat_interval();
    std::optional<Instant> look_at_;
    Instant heard_{};  // of this server, last
    unsigned silent_looks_ = 0;
    enum class Server { starts, serves, ends } state_ = Server::starts;
    bool hung_ = false;       // and was killed for it
    bool was_ready_ = false;  // this server or one before it
    bool ending_ = false;
    unsigned quick_crashes_ = 0;
    Duration delay_ = first_delay;
};

bool Keeper::listen_to_signals() {
    sigemptyset(&signals_);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD}) {
        sigaddset(&signals_, number);
    }
    sigprocmask(SIG_BLOCK, &signals_, nullptr);
    signal_.reset(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    return static_cast<bool>(signal_);
}

void Keeper::become_server(int ready) {
    sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
    std::vector<char*> words;
    for (const std::string& argument : settings_.arguments) {
        words.push_back(const_cast<char*>(argument.c_str()));
    }
    words.push_back(const_cast<char*>("--foreground"));
    words.push_back(nullptr);
    if (chdir(settings_.folder.c_str()) == 0 &&
        hand_over(session_, ready, settings_.in_background, quick_crashes_ >= suspicious_crashes)) {
        execv(settings_.program.c_str(), words.data());
    }
    log::error("the server cannot be started", {{"program", settings_.program}, {"error", errno}});
    _exit(1);
}

bool Keeper::start_server() {
    std::array<int, 2> ends{};
    // What the server says is never to make it wait.
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        return false;
    }
    const UniqueFd servers_end(ends[1]);
    ready_.reset(ends[0]);
    const pid_t keeper = getpid();
    started_ = heard_ = BootClock::now();
    start_at_.reset();
    silent_looks_ = 0;
    state_ = Server::starts;
    hung_ = false;
    server_ = fork();
    if (server_ == 0) {
        // Nobody could start it again: then there is to be none.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != keeper) {
            _exit(1);
        }
        become_server(servers_end.get());
    }
    return server_ > 0;
}

void Keeper::wait_for_events() {
    std::array<pollfd, 2> watched = {pollfd{signal_.get(), POLLIN, 0}, pollfd{ready_.get(), POLLIN, 0}};
    int limit = -1;
    for (const std::optional<Instant>& next : {start_at_, look_at_}) {
        if (next) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - BootClock::now());
            const int wait = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
            limit = limit < 0 ? wait : std::min(limit, wait);
        }
    }
    if (poll(watched.data(), watched.size(), limit) <= 0) {
        return;
    }
    if (watched[1].revents != 0) {
        hear_server();
    }
    signalfd_siginfo heard{};
    while (read(signal_.get(), &heard, sizeof heard) == sizeof heard) {
        on_signal(static_cast<int>(heard.ssi_signo));
    }
}

void Keeper::hear_server() {
    std::array<char, 64> words{};
    const ssize_t count = read(ready_.get(), words.data(), words.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        ready_.reset();
        return;
    }
    heard_ = BootClock::now();
    silent_looks_ = 0;
    for (const char word : std::string_view(words.data(), static_cast<std::size_t>(count))) {
        if (word == said_ready) {
            state_ = Server::serves;
            was_ready_ = true;
            readiness_.ready("mounted on " + session_.mount_point);
        } else if (word == said_ending) {
            state_ = Server::ends;
        }
    }
}

void Keeper::look() {
    look_at_ = BootClock::now() + *beat_;
    program::beat_systemd();
    // One that ends takes the time that it needs, and whoever asked for that has a limit of his own.
    if (server_ <= 0 || ending_ || hung_ || state_ == Server::ends ||
        ++silent_looks_ <= (state_ == Server::serves ? looks_while_serving : looks_a_limit)) {
        return;
    }
    hung_ = true;
    log::error("the server hangs; it is killed", {{"silent_s", (BootClock::now() - heard_) / 1s}});
    kill(server_, SIGKILL);
}

void Keeper::on_signal(int number) {
    ending_ = ending_ || number == SIGTERM || number == SIGINT;
    if (server_ <= 0 || number == SIGCHLD) {
        return;
    }
    kill(server_, number == SIGUSR2 ? SIGKILL : number == SIGINT ? SIGTERM : number);
}

int Keeper::give_up(int status) {
    if (const Status detached = fuse_detach(session_.mount_point); !detached) {
        log::warning("cannot unmount", {{"error", detached.error().message}});
    }
    return status;
}

std::optional<int> Keeper::on_server_end(int status) {
    server_ = -1;
    ready_.reset();
    const bool exited = WIFEXITED(status);
    if (exited && WEXITSTATUS(status) == 0) {
        return 0;
    }
    if (ending_ || (!was_ready_ && (exited || quick_crashes_ >= suspicious_crashes))) {
        return give_up(exited ? WEXITSTATUS(status) : 1);
    }
    const Instant now = BootClock::now();
    const bool killed = !exited && WTERMSIG(status) == SIGKILL && !hung_;
    const bool quick = (hung_ ? heard_ : now) - started_ < quick_crash;
    quick_crashes_ = quick && !killed ? quick_crashes_ + 1 : 0;
    delay_ = quick && !killed ? std::min(delay_ * 2, last_delay) : first_delay;
    start_at_ = killed ? now : now + delay_;
    if (exited) {
        log::error("the server ended by itself; it is started again", {{"status", WEXITSTATUS(status)}});
    } else {
        log::warning("the server was killed; it is started again", {{"signal", WTERMSIG(status)}});
    }
    return std::nullopt;
}

int Keeper::run() {
    if (!listen_to_signals()) {
        log::error("the keeper cannot listen to signals", {{"error", errno}});
        return give_up(1);
    }
    start_at_ = BootClock::now();
    look_at_ = beat_ ? start_at_ : std::nullopt;
    for (;;) {
        if (ending_ && server_ <= 0) {
            return give_up(0);
        }
        if (look_at_ && BootClock::now() >= *look_at_) {
            look();
        }
        if (start_at_ && BootClock::now() >= *start_at_ && !start_server()) {
            log::error("the server cannot be started", {{"error", errno}});
            start_at_ = BootClock::now() + last_delay;
        }
        wait_for_events();
        int status = 0;
        if (server_ > 0 && waitpid(server_, &status, WNOHANG) == server_) {
            if (const std::optional<int> end = on_server_end(status)) {
                return *end;
            }
        }
    }
}

}  // namespace

std::optional<Duration> server_beat_interval() {
    const std::optional<Duration> limit = program::watchdog_limit();
    return limit ? std::optional<Duration>(*limit / looks_a_limit) : std::nullopt;
}

int keep(KeptSession session, const KeeperSettings& settings, program::Readiness& readiness) {
    return Keeper(std::move(session), settings, readiness).run();
}

}  // namespace drivebay
