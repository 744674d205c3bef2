// drivebay-gadgetd: shows this blade's host the drives that the arbiter presents to it. A restart ejects nothing: the
// gadget and its media stay as they are, and the next start adopts them.
#include <fcntl.h>
#include <fmt/format.h>
#include <cstdio>
#include <sys/file.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <filesystem>
#include <numeric>
#include <optional>
#include <vector>

#include "gadgetd/enrolment.h"
#include "gadgetd/gadget_keeper.h"
#include "gadgetd/gadget_preview.h"
#include "gadgetd/gadget_tree.h"
#include "gadgetd/settings.h"
#include "gadgetd/slot_journal.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/program/daemon.h"
#include "lib/program/systemd.h"
#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

namespace {

// A machine that goes down waits for no longer: then its host has a drive that ends, as with a power cut.
constexpr Duration leave_limit = std::chrono::seconds(15);

// One gadgetd a run folder: two would undo each other's work.
Result<UniqueFd> lock_run_dir(const std::string& run_dir) {
    std::error_code failure;
    std::filesystem::create_directories(run_dir, failure);
    if (failure) {
        return system_error(failure.value(), "cannot make the run folder " + run_dir);
    }
    std::string path = run_dir + "/lock";
    UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) {
        return system_error(errno, "cannot open " + path);
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error{EBUSY,
                     fmt::format("another drivebay-gadgetd is running with the run folder {}: stop it first", run_dir)};
    }
    return lock;
}

// The next start is to know that it was not the host that emptied the slots.
void note_removal(const Settings& settings, const std::vector<int>& slots) {
    SlotJournal journal(settings.run_dir, kernel_boot_id());
    for (const int slot : slots) {
        Result<JournalEntry> entry = journal.load(slot);
        if (entry && entry->phase != JournalEntry::Phase::none && entry->phase != JournalEntry::Phase::leaving) {
            entry->phase = JournalEntry::Phase::leaving;
            entry->by_host = false;
            (void)journal.save(slot, *entry);
        }
    }
}

int remove(const Settings& settings, program::Readiness& readiness) {
    if (Status removed = remove_gadget(settings.shape()); !removed) {
        log::error("the gadget was not removed", {{"error", removed.error().message}});
        return 1;
    }
    std::vector<int> all(most_slots);
    std::iota(all.begin(), all.end(), 0);
    note_removal(settings, all);
    log::notice("the gadget is removed", {{"gadget", settings.shape().name}});
    readiness.ready("the gadget is removed");
    return 0;
}

int preview(const Settings& settings, bool removing, bool json) {
    const GadgetPreview seen = preview_gadget(settings.shape(), removing);
    fmt::print("{}", to_text(seen, json));
    return seen.refusal ? 1 : 0;
}

// Whoever stops this program says beforehand (--leave), by this file, that the machine goes down. It is on a tmpfs, and told
// once.
std::string leave_file(const Settings& settings) { return settings.run_dir + "/leave"; }

int say_leave(const Settings& settings) {
    const UniqueFd file(open(leave_file(settings).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file) {
        log::error("cannot say that the machine goes down", {{"file", leave_file(settings)}, {"error", errno}});
        return 1;
    }
    return 0;
}

bool told_to_leave(const Settings& settings) {
    std::error_code error;
    return std::filesystem::remove(leave_file(settings), error);
}

int run(const Settings& settings, program::Readiness& readiness) {
    (void)told_to_leave(settings);  // that was somebody else
    Result<GadgetTree> tree = raise_gadget(settings.shape());
    if (!tree) {
        log::error("the gadget cannot be made", {{"error", tree.error().message}});
        return 1;
    }
    note_removal(settings, tree->emptied);
    for (const std::string& notice : tree->notices) {
        log::warning(notice);
    }
    log::notice(tree->adopted ? "adopted the bound gadget as it stands" : "made and bound the gadget",
                {{"blade", settings.blade}, {"udc", tree->udc}, {"slots", tree->slots.size()}, {"interfaces", tree->layout.size()}});
    rpc::Reactor reactor;
    GadgetKeeper keeper(reactor, settings, *tree);
    const Renewal renewal(reactor, settings);
    bool leaving = false;
    reactor.on_signals(
        [&](int) {
            readiness.stopping();
            leaving = told_to_leave(settings);
            if (leaving) {
                log::notice("the machine goes down: every medium is put out, drained and released first");
                keeper.leave(leave_limit, [&reactor] { reactor.stop(); });
            } else {
                reactor.stop();
            }
        },
        [&] { readiness.reload([&] { keeper.set_limits(settings.limits()); }); });
    readiness.ready(fmt::format("bound to {}, {} slots behind {} interfaces", tree->udc, tree->slots.size(),
                                tree->layout.size()));
    const program::Watchdog watchdog(reactor);
    reactor.run();
    log::notice(leaving ? "stopped" : "stopped; the gadget stays as it is");
    return 0;
}

struct EnrolOptions {
    CLI::App* command = nullptr;
    CLI::App* renewal = nullptr;
    std::string arbiter;
    std::string token;
};

void add_enrol_commands(CLI::App& app, EnrolOptions& options) {
    options.command = app.add_subcommand("enroll", "get this blade's certificate from the management module, once");
    options.command->add_option("--token", options.token, "what `drivebay enroll` printed there")->required();
    options.command->add_option("--arbiter", options.arbiter, "the management module's address; else the configuration's");
    options.renewal = app.add_subcommand("renew", "get the next certificate, in the last 30 days of this one; the daemon does it by itself");
}

std::optional<int> enroll_instead(const EnrolOptions& options, const Settings& settings, bool blade_is_set) {
    if (options.command == nullptr || (!options.command->parsed() && !options.renewal->parsed())) {
        return std::nullopt;
    }
    Result<std::string> outcome =
        options.command->parsed()
            ? enroll(settings, options.arbiter.empty() ? settings.arbiter : options.arbiter, options.token, blade_is_set)
            : Result<std::string>("the certificate is renewed");
    if (options.renewal->parsed()) {
        if (Status renewed = renew(settings); !renewed) {
            outcome = renewed.error();
        }
    }
    if (!outcome) {
        fmt::print(stderr, "drivebay-gadgetd: {}\n", outcome.error().message);
        return 1;
    }
    fmt::print("{}\n", *outcome);
    return 0;
}

}  // namespace

}  // namespace drivebay::gadgetd

int main(int argc, char** argv) {
    using namespace drivebay;
    using namespace drivebay::gadgetd;
    Settings settings;
    config::Schema schema("drivebay-gadgetd");
    settings.describe(schema);
    bool removing = false;
    bool leaving = false;
    bool planning = false;
    bool json = false;
    bool blade_is_set = false;
    EnrolOptions enrolling;

    program::Daemon daemon;
    daemon.name = "drivebay-gadgetd";
    daemon.summary = "Presents drives to this blade's host as USB drives, as the arbiter says.";
    daemon.default_config = "/etc/drivebay/gadgetd.cfg";
    daemon.schema = &schema;
    daemon.add_options = [&](CLI::App& app) {
        CLI::Option* const remove =
            app.add_flag("--remove", removing, "take the gadget down for good and exit: the host loses its drives");
        CLI::Option* const leave = app.add_flag("--leave", leaving,
                     "tell the one that runs that its end is the machine's: it then ejects, drains and releases first");
        CLI::Option* const plan = app.add_flag(
            "--plan", planning, "print what a start (with --remove: that) would do to configfs, change nothing, and exit");
        app.add_flag("--json", json, "what --plan prints as JSON")->needs(plan);
        leave->excludes(plan)->excludes(remove);
        add_enrol_commands(app, enrolling);
    };
    daemon.check = [&] {
        blade_is_set = !settings.blade.empty();
        return settings.complete();
    };
    daemon.instead = [&] {
        if (planning) {
            return std::optional<int>(preview(settings, removing, json));
        }
        return leaving ? std::optional<int>(say_leave(settings)) : enroll_instead(enrolling, settings, blade_is_set);
    };
    daemon.run = [&](program::Readiness& readiness) {
        Result<UniqueFd> lock = lock_run_dir(settings.run_dir);
        if (!lock) {
            log::error(lock.error().message);
            return 1;
        }
        return removing ? remove(settings, readiness) : run(settings, readiness);
    };
    return program::run_daemon(argc, argv, daemon);
}
