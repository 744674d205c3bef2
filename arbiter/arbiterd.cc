// drivebay-arbiterd: who may use which drive.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include <CLI/CLI.hpp>
#include <optional>

#include "arbiter/service.h"
#include "arbiter/store/store_check.h"
#include "lib/base/log.h"
#include "lib/program/daemon.h"
#include "lib/program/systemd.h"

namespace {

using namespace drivebay;

// A descriptor a blade: what a shell or systemd sets out with (1024) is for programs that use select().
void allow_many_connections() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
        (void)::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int run(const arbiter::Settings& settings, program::Readiness& readiness) {
    allow_many_connections();
    int exit_status = 0;
    rpc::Reactor reactor;
    arbiter::Service service(reactor, settings, [&reactor, &exit_status](const std::string& why) {
        log::error("ending", {{"reason", why}});
        exit_status = 1;
        reactor.stop();
    });
    // Heeded from the beginning, acted upon once it runs: a rotation of the log while it starts must not end it.
    reactor.on_signals(
        [&reactor, &readiness](int signal) {
            log::info("ending", {{"signal", signal}});
            readiness.stopping();
            reactor.stop();
        },
        [&service, &readiness] {
            if (const Status reopened = service.reopen_audit_log(); !reopened) {
                log::error(reopened.error().message);
            }
            readiness.reload([&service] { service.take_settings(); });
        });
    if (const Status started = service.start(); !started) {
        log::error(started.error().message);
        return 1;
    }
    const arbiter::State& state = service.state();
    readiness.ready(fmt::format("term {}, {} drives, {} blades, {} leases", state.term, state.drives.size(),
                                state.blades.size(), state.leases.size()));
    log::info("ready", {{"term", state.term}, {"socket", settings.socket}});
    const program::Watchdog watchdog(reactor);
    reactor.run();
    return exit_status;
}

}  // namespace

int main(int argc, char** argv) {
    arbiter::Settings settings;
    config::Schema schema = settings.schema();
    program::Daemon daemon;
    daemon.name = "drivebay-arbiterd";
    daemon.summary = "Decides which blade may read and which may write which drive, and lets everybody know.";
    daemon.default_config = "/etc/drivebay/arbiter.cfg";
    daemon.schema = &schema;
    bool check_store = false;
    std::string checked_file;
    daemon.add_options = [&check_store, &checked_file](CLI::App& app) {
        CLI::Option* const check = app.add_flag(
            "--check-store", check_store,
            "judge the store, or FILE, without touching it, and exit: 0 good, 1 damaged, 2 it could not be judged");
        app.add_option("FILE", checked_file, "with --check-store: a store's file, such as drivebay backup writes")
            ->needs(check);
    };
    daemon.instead = [&]() -> std::optional<int> {
        if (!check_store) {
            return std::nullopt;
        }
        return arbiter::report_store_check(checked_file.empty() ? settings.state_dir + "/arbiter.db" : checked_file);
    };
    daemon.run = [&settings](program::Readiness& readiness) { return run(settings, readiness); };
    return program::run_daemon(argc, argv, std::move(daemon));
}
