#include <fmt/format.h>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <random>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A granted drive is loaded within moments; what takes longer is told instead of waited for.
constexpr Duration longest_loading = 60s;
// Beyond the deadline that the arbiter itself keeps.
constexpr Duration deadline_margin = 20s;
constexpr Duration default_take_deadline = 30s;

volatile std::sig_atomic_t interrupted = 0;

struct PresentOptions {
    std::string drive;
    std::vector<std::string> to;
    std::string access = "read";
    int slot = -1;
    std::string wait;
    bool no_queue = false;
    bool take = false;
    bool force = false;
    double deadline_seconds = 0;

    const char* policy() const { return no_queue ? "no-queue" : take ? "take" : force ? "force" : "queue"; }
};

// ^C and SIGTERM while waiting leave the queue before the command ends; a second one ends it at once.
void catch_interruption() {
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

// For a wait that ended too early. True: out of the queue. False: granted in the same moment, or already gone.
bool leave_queue(const Arbiter& arbiter, const json& lease) {
    return text_of(lease, "state") == "waiting" && arbiter.remove("/v1/leases/" + id_of(lease)).ok();
}

std::string fresh_request_id() {
    std::random_device random;
    return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

class Presentation {
public:
    Presentation(Invocation& invocation, const PresentOptions& options) : invocation_(invocation), options_(options) {}

    void run() {
        if (Status done_well = present(); !done_well) {
            invocation_.fail(done_well.error());
        }
    }

private:
    Result<json> request_body() const {
        Result<std::string> drive = checked_name("drive", options_.drive);
        if (!drive) {
            return drive.error();
        }
        Result<std::vector<std::string>> blades = checked_blades(options_.to);
        if (!blades) {
            return blades.error();
        }
        json body = {{"drive", *drive}, {"access", options_.access}, {"policy", options_.policy()}, {"slot", nullptr}};
        // Should the answer get lost, asking again is not presenting twice.
        body["request"] = fresh_request_id();
        body["blades"] = blades->front() == "all" ? json("all") : json(*blades);
        if (options_.slot >= 0) {
            body["slot"] = options_.slot;
        }
        if (options_.deadline_seconds > 0) {
            body["deadline_ms"] = static_cast<std::int64_t>(options_.deadline_seconds * 1000);
        }
        return body;
    }

    void set_up(LeaseWait& wait, std::optional<Duration> limit) const {
        const bool waits = !options_.wait.empty();
        if (waits) {
            wait.stay_for_blades();
        }
        if (waits || options_.take || options_.force) {
            wait.stay_in_queue();
            catch_interruption();
            wait.set_interruption(&interrupted);
        }
        if (limit) {
            wait.set_limit(*limit);
        } else if (!waits) {
            const Duration asked =
                std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.deadline_seconds));
            const Duration deadline = asked > Duration::zero() ? asked : default_take_deadline;
            wait.set_limit(options_.take || options_.force ? deadline + deadline_margin : longest_loading);
        }
        if (isatty(STDERR_FILENO)) {
            wait.on_progress([](const std::string& sentence) { fmt::print(stderr, "… {}\n", sentence); });
        }
    }

    Status present() {
        Result<json> body = request_body();
        if (!body) {
            return body.error();
        }
        std::optional<Duration> limit;
        if (!options_.wait.empty()) {
            Result<std::optional<Duration>> asked = checked_wait(options_.wait);
            if (!asked) {
                return asked.error();
            }
            limit = *asked;
        }
        Result<Arbiter> arbiter = Arbiter::at(invocation_.server);
        if (!arbiter) {
            return arbiter.error();
        }
        LeaseWait wait(*arbiter, LeaseWait::Until::loaded);
        set_up(wait, limit);
        Result<json> answer = options_.wait.empty() ? arbiter->post("/v1/presentations", *body)
                                                    : wait.post_patiently("/v1/presentations", *body);
        if (!answer) {
            return answer.error();
        }
        Result<std::vector<LeaseWait::Entry>> entries = wait.run(answer->value("presentations", json::array()));
        if (!entries) {
            return entries.error();
        }
        for (LeaseWait::Entry& entry : *entries) {
            settle(*arbiter, wait, entry);
        }
        report(*entries);
        return success();
    }

    // What was still going on when the wait ended.
    void settle(const Arbiter& arbiter, const LeaseWait& wait, LeaseWait::Entry& entry) const {
        if (wait.is_final(entry)) {
            return;
        }
        const std::string state_of_things = entry.verdict.sentence;
        const char* why = wait.was_interrupted() ? "interrupted" : "the time is over";
        entry.verdict.progress = Progress::failed;
        if (leave_queue(arbiter, entry.lease)) {
            entry.verdict.sentence = fmt::format("{}: {}; it has left the queue", why, state_of_things);
            if (Result<json> lease = arbiter.get("/v1/leases/" + id_of(entry.lease)); lease) {
                entry.lease = *lease;
            }
        } else {
            entry.verdict.sentence = fmt::format(
                "{}: {}; it goes on without this command: look with drivebay status, "
                "undo with drivebay withdraw {} --from {}",
                why, state_of_things, options_.drive, text_of(entry.lease, "blade"));
        }
    }

    void report(const std::vector<LeaseWait::Entry>& entries) const {
        json leases = json::array();
        for (const LeaseWait::Entry& entry : entries) {
            leases.push_back(entry.lease);
            const bool is_said = entry.verdict.progress == Progress::offline;
            if (const std::string notice = text_of(entry.lease, "notice"); !notice.empty() && !is_said) {
                fmt::print(stderr, "drivebay: note: {}\n", notice);
            }
            if (entry.verdict.progress == Progress::failed) {
                invocation_.fail(failure(refused, entry.verdict.sentence));
            } else if (!invocation_.json) {
                const bool is_queued = entry.verdict.progress == Progress::queued;
                fmt::print("{}{}\n", entry.verdict.sentence,
                           is_queued ? fmt::format("; it will be loaded when that is released (to leave the queue: "
                                                   "drivebay withdraw {} --from {})",
                                                   options_.drive, text_of(entry.lease, "blade"))
                                     : "");
            }
        }
        if (invocation_.json) {
            Invocation::print_json({{"presentations", leases}});
        }
    }

    Invocation& invocation_;
    const PresentOptions& options_;
};

}  // namespace

void add_present_command(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<PresentOptions>();
    CLI::App* present = program.add_subcommand("present", "Present a drive to blades as a USB drive");
    present->fallthrough();
    present->add_option("DRIVE", options->drive, "The drive's name")->required();
    present->add_option("--to", options->to, "The blades, with commas between them, or all")
        ->required()
        ->type_name("BLADE[,BLADE...]|all")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    present->add_option("--access", options->access, "read (the default) or write")
        ->type_name("read|write")
        ->check(one_of({"read", "write", "private", "cluster"}));
    present->add_option("--slot", options->slot, "The slot of the blade; without it the first free one that fits")
        ->type_name("N")
        ->check(CLI::Range(0, 255));
    CLI::Option* wait = present->add_flag("--wait{forever}", options->wait,
                                          "Stay until it is loaded; --wait=S: at most S seconds, then leave the queue");
    CLI::Option* no_queue = present->add_flag("--no-queue", options->no_queue, "Be refused if others hold the drive");
    CLI::Option* take = present->add_flag("--take", options->take,
                                          "Ask the holders' side to eject; refused while their host locks the door");
    CLI::Option* force =
        present->add_flag("--force", options->force, "Fence the holders first; what they had not written is lost");
    present->add_option("--deadline", options->deadline_seconds, "With --take: how long to ask, in seconds (30)")
        ->type_name("S")
        ->check(CLI::Range(0.001, 86400.0));
    wait->excludes(no_queue);
    no_queue->excludes(take)->excludes(force);
    take->excludes(force);
    present->footer(
        "Returns when each blade's host can use the drive. Where others hold it, it says behind whom it waits and\n"
        "returns at once; the drive is loaded by itself when they release it, or their host ejects it.\n"
        "No host can be made to write out what it still keeps in its own memory: --take and --force do not.\n\n"
        "Examples:\n"
        "  drivebay present install --to all\n"
        "  drivebay present scratch --to blade01 --access write\n"
        "  drivebay present scratch --to blade02 --access write --wait=60\n"
        "  drivebay present scratch --to blade02 --access write --no-queue\n\n"
        "--server and --json: see drivebay --help.");
    present->callback([options, &invocation] { Presentation(invocation, *options).run(); });
}

}  // namespace drivebay::cli
