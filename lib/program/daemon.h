// What every drivebay daemon's main has in common: options, configuration, going to the background, readiness.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/fd.h"
#include "lib/config/schema.h"

namespace CLI {
class App;
}

namespace drivebay::program {

// Tells whoever started this program that it is ready: systemd by sd_notify, and the shell that waits in the
// foreground until a program gone to the background says so.
class Readiness {
public:
    Readiness() = default;
    // Of a program that another one started for it: that one hears of it by a byte in `starter`. `outlives_starter`: the
    // one above both has gone, or will.
    Readiness(UniqueFd starter, bool outlives_starter) : parent_(std::move(starter)), outlives_(outlives_starter) {}

    bool in_background() const { return static_cast<bool>(parent_) && outlives_; }
    // READY=1; the waiting parent exits 0. Further calls do nothing.
    void ready(const std::string& status);
    // STATUS=… only.
    void status(const std::string& status);
    // STOPPING=1: it ends, which may take a while.
    void stopping();
    // Reads the configuration files again, and logs what changed and what needs a restart. What may change while the program
    // runs is in force when `apply` is called; with a mistake nothing changes, and it is not called.
    void reload(const std::function<void()>& apply);

private:
    friend int run_daemon(int argc, char** argv, struct Daemon daemon);
    UniqueFd parent_;
    bool outlives_ = true;
    std::string status_;
    std::string config_;
    config::Schema* schema_ = nullptr;
    std::function<Status()> check_;
};

struct Daemon {
    std::string name;            // "drivebay-arbiterd"
    std::string summary;         // one sentence for --help
    std::string default_config;  // "/etc/drivebay/arbiter.cfg"
    config::Schema* schema;
    // May add options of the program's own before the command line is parsed.
    std::function<void(CLI::App&)> add_options;
    // Runs after the configuration is loaded and checked; may check what the schema cannot. Optional.
    std::function<Status()> check;
    // Runs, in the foreground, in the place of the program where one of its own options asks for something else; nothing
    // where none does. Optional.
    std::function<std::optional<int>()> instead;
    // The program; returns the exit status. Failing before ready() makes the waiting parent exit with it too.
    std::function<int(Readiness&)> run;
};

// Handles --config, --check-config, --dump-config, --foreground (-f), --log-level, --version, --help. Exit status: 0,
// what run() returned, 2 for wrong usage or configuration. A missing default configuration file means the defaults; a
// missing file named by --config is an error.
int run_daemon(int argc, char** argv, Daemon daemon);

}  // namespace drivebay::program
