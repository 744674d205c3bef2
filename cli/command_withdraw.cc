#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// Beyond the deadline that the arbiter itself keeps: the blade may have to drain, and its session to expire.
constexpr Duration deadline_margin = 30s;
constexpr double default_deadline_seconds = 10;

struct WithdrawOptions {
    std::string drive;
    std::vector<std::string> from;
    bool force = false;
    double deadline_seconds = 0;
};

Status wait_for_ends(Arbiter& arbiter, const json& leases, Duration limit, std::vector<LeaseWait::Entry>& entries) {
    LeaseWait wait(arbiter, LeaseWait::Until::gone);
    wait.set_limit(limit);
    if (isatty(STDERR_FILENO)) {
        wait.on_progress([](const std::string& sentence) { fmt::print(stderr, "… {}\n", sentence); });
    }
    Result<std::vector<LeaseWait::Entry>> settled = wait.run(leases);
    if (!settled) {
        return settled.error();
    }
    entries = std::move(*settled);
    return success();
}

Status withdraw(const Invocation& invocation, const WithdrawOptions& options, std::vector<LeaseWait::Entry>& entries) {
    Result<std::string> drive = checked_name("drive", options.drive);
    if (!drive) {
        return drive.error();
    }
    Result<std::vector<std::string>> blades = checked_blades(options.from);
    if (!blades) {
        return blades.error();
    }
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    json body = {{"drive", *drive}, {"force", options.force}};
    body["blades"] = blades->front() == "all" ? json("all") : json(*blades);
    if (options.deadline_seconds > 0) {
        body["deadline_ms"] = static_cast<std::int64_t>(options.deadline_seconds * 1000);
    }
    Result<json> answer = arbiter->post("/v1/withdrawals", body);
    if (!answer) {
        return answer.error();
    }
    const double seconds = options.deadline_seconds > 0 ? options.deadline_seconds : default_deadline_seconds;
    const auto deadline = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    return wait_for_ends(*arbiter, answer->value("withdrawals", json::array()), deadline + deadline_margin, entries);
}

// Ends one lease at once; the wait is for its fence.
Status revoke(const Invocation& invocation, std::uint64_t lease, std::vector<LeaseWait::Entry>& entries) {
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    Result<json> answer = arbiter->post("/v1/revocations", {{"lease", lease}});
    if (!answer) {
        return answer.error();
    }
    return wait_for_ends(*arbiter, answer->value("revocations", json::array()), deadline_margin, entries);
}

void report(Invocation& invocation, const char* key, const std::vector<LeaseWait::Entry>& entries) {
    json leases = json::array();
    for (const LeaseWait::Entry& entry : entries) {
        leases.push_back(entry.lease);
        switch (entry.verdict.progress) {
            case Progress::done:
                if (!invocation.json) {
                    fmt::print("{}\n", entry.verdict.sentence);
                }
                break;
            case Progress::failed: invocation.fail(failure(refused, entry.verdict.sentence)); break;
            default:
                invocation.fail(failure(refused, fmt::format("{}, and is still not done; it goes on without this "
                                                             "command: look with drivebay leases, or use --force",
                                                             entry.verdict.sentence)));
        }
    }
    if (invocation.json) {
        Invocation::print_json({{key, leases}});
    }
}

}  // namespace

void add_withdraw_command(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<WithdrawOptions>();
    CLI::App* command = program.add_subcommand("withdraw", "Take a drive away from blades, or out of the queue");
    command->fallthrough();
    command->add_option("DRIVE", options->drive, "The drive's name")->required();
    command->add_option("--from", options->from, "The blades, with commas between them, or all")
        ->required()
        ->type_name("BLADE[,BLADE...]|all")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command->add_flag("--force", options->force, "Fence first, eject by force: what the blade had not written is lost");
    command
        ->add_option("--deadline", options->deadline_seconds, "How long to ask a host that locks the door, in s (10)")
        ->type_name("S")
        ->check(CLI::Range(0.001, 86400.0));
    command->footer(
        "Returns when the medium is out and everything the host had written is on the drive. A host that has the\n"
        "drive mounted locks its door: the request is then refused, and nothing has changed.\n\n"
        "Examples:\n"
        "  drivebay withdraw install --from all\n"
        "  drivebay withdraw scratch --from blade01,blade02\n"
        "  drivebay withdraw scratch --from blade01 --force\n\n"
        "--server and --json: see drivebay --help.");
    command->callback([options, &invocation] {
        std::vector<LeaseWait::Entry> entries;
        if (Status done_well = withdraw(invocation, *options, entries); !done_well) {
            invocation.fail(done_well.error());
            return;
        }
        report(invocation, "withdrawals", entries);
    });
}

void add_revoke_command(CLI::App& program, Invocation& invocation) {
    auto lease = std::make_shared<std::uint64_t>(0);
    CLI::App* command = program.add_subcommand("revoke", "End one lease at once, whoever has it");
    command->fallthrough();
    command->add_option("LEASE", *lease, "Its number, as drivebay leases shows it")->required();
    command->footer(
        "The lease is fenced first: not one write of its holder reaches the drive after that. What the holder's host "
        "had\n"
        "not written is lost, or unknown where the blade cannot be asked; drivebay events says which. Unlike withdraw, "
        "this\n"
        "ends just that lease and no other that the same blade may have got since.\n\n"
        "Example:\n"
        "  drivebay revoke 17\n\n"
        "--server and --json: see drivebay --help.");
    command->callback([lease, &invocation] {
        std::vector<LeaseWait::Entry> entries;
        if (Status ended = revoke(invocation, *lease, entries); !ended) {
            invocation.fail(ended.error());
            return;
        }
        report(invocation, "revocations", entries);
    });
}

}  // namespace drivebay::cli
