#include "lib/program/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>

#include "lib/base/log.h"

namespace drivebay::program {
namespace {

const std::map<std::string, log::Level> log_levels{{"error", log::Level::error},
                                                   {"warning", log::Level::warning},
                                                   {"notice", log::Level::notice},
                                                   {"info", log::Level::info},
                                                   {"debug", log::Level::debug}};

// Forks; the parent stays until the child is ready or gone, and leaves with its verdict. Returns in the child, with the
// descriptor that tells the parent.
Result<UniqueFd> go_to_background(const std::string& name) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return system_error(errno, "cannot make a pipe");
    }
    UniqueFd from_child(ends[0]);
    UniqueFd to_parent(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) {
        return system_error(errno, "cannot go to the background");
    }
    if (child > 0) {
        to_parent.reset();
        char word = 0;
        if (::read(from_child.get(), &word, 1) == 1) {
            ::_exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) {
            fmt::print(stderr, "{}: ended by signal {} before it was ready\n", name, WTERMSIG(status));
        }
        ::_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
    }
    from_child.reset();
    ::setsid();
    // Standard error stays until it is ready (lib/base/log_sink.h): why it could not start is read there.
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(null.get(), STDOUT_FILENO);
    if (::chdir("/") != 0) {
        return system_error(errno, "cannot change to /");
    }
    return to_parent;
}

int refuse(const std::string& name, const std::string& sentence) {
    fmt::print(stderr, "{}: {}\n", name, sentence);
    return 2;
}

}  // namespace

int run_daemon(int argc, char** argv, Daemon daemon) {
    CLI::App app(daemon.summary, daemon.name);
    std::string config = daemon.default_config;
    std::string level = "info";
    bool check_config = false;
    bool dump_config = false;
    bool foreground = false;
    CLI::Option* const named = app.add_option("-c,--config", config, "configuration file")->capture_default_str();
    app.add_flag("--check-config", check_config, "check the configuration and exit: 0 good, 2 with every mistake named");
    app.add_flag("--dump-config", dump_config, "print the effective configuration with its comments and exit");
    app.add_flag("-f,--foreground", foreground, "stay in the foreground");
    app.add_option("--log-level", level, "error, warning, notice, info or debug")
        ->capture_default_str()
        ->check(CLI::IsMember({"error", "warning", "notice", "info", "debug"}));
    app.set_version_flag("--version", daemon.name + " " DRIVEBAY_VERSION);
    if (daemon.add_options) {
        daemon.add_options(app);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }

    // A reload happens in another folder.
    std::error_code ignored;
    config = std::filesystem::absolute(config, ignored).string();
    const bool missing = ::access(config.c_str(), F_OK) != 0;
    if (missing && named->count() > 0) {
        return refuse(daemon.name, fmt::format("there is no configuration file {}; check the path given by --config",
                                               log::quoted(config)));
    }
    const std::vector<std::string> mistakes = daemon.schema->load_all(config);
    for (const std::string& mistake : mistakes) {
        fmt::print(stderr, "{}: {}\n", daemon.name, mistake);
    }
    if (!mistakes.empty()) {
        return 2;
    }
    if (dump_config) {
        fmt::print("{}", daemon.schema->dump());
        return 0;
    }
    if (daemon.check) {
        if (const Status good = daemon.check(); !good) {
            return refuse(daemon.name, missing ? good.error().message : config + ": " + good.error().message);
        }
    }
    if (check_config) {
        fmt::print("{}: good\n", missing ? "the default configuration" : config);
        return 0;
    }

    if (const std::optional<int> ended = daemon.instead ? daemon.instead() : std::nullopt) {
        return *ended;
    }
    log::set_program(daemon.name);
    log::set_level(log_levels.at(level));
    // A peer that goes away is an errno of the write, never the end of a daemon.
    std::signal(SIGPIPE, SIG_IGN);
    Readiness readiness;
    readiness.config_ = config;
    readiness.schema_ = daemon.schema;
    readiness.check_ = daemon.check;
    if (!foreground) {
        Result<UniqueFd> parent = go_to_background(daemon.name);
        if (!parent) {
            log::error(parent.error().message);
            return 1;
        }
        readiness.parent_ = std::move(*parent);
    }
    return daemon.run(readiness);
}

}  // namespace drivebay::program
