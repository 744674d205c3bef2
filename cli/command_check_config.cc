#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/daemon_check.h"

namespace drivebay::cli {
namespace {

struct CheckOptions {
    std::string file;
    std::string daemon;
};

Status check_config(Invocation& invocation, const CheckOptions& options) {
    std::string daemon = options.daemon;
    if (daemon.empty()) {
        Result<std::string> named = daemon_of_file(options.file);
        if (!named) {
            return named.error();
        }
        daemon = *named;
    }
    const std::string name = program_of(daemon);
    const std::string program =
        find_program(name, program_folders(), [](const std::string& path) { return access(path.c_str(), X_OK) == 0; });
    if (program.empty()) {
        return failure(refused, fmt::format("{} is needed to judge {} and is not installed here: check the file on the "
                                            "machine that runs it",
                                            name, options.file));
    }
    Result<CheckOutcome> outcome = run_check(program, options.file);
    if (!outcome) {
        return outcome.error();
    }
    if (invocation.json) {
        Invocation::print_json({{"file", options.file},
                                {"for", daemon},
                                {"accepted", outcome->accepted},
                                {"output", outcome->output}});
    }
    if (!outcome->accepted) {
        fmt::print(stderr, "{}", outcome->output);
        invocation.exit_status = refused;
    } else if (!invocation.json) {
        fmt::print("{}: {} accepts it\n", options.file, name);
    }
    return success();
}

}  // namespace

void add_check_config_command(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<CheckOptions>();
    CLI::App* command = program.add_subcommand("check-config", "Judge a configuration file without using it");
    command->fallthrough();
    command->add_option("FILE", options->file, "The file; its name tells the daemon: arbiter*, fusefs*, gadgetd*")
        ->required();
    command->add_option("--for", options->daemon, "The daemon that reads it, where the file's name does not tell")
        ->type_name("arbiter|fusefs|gadgetd")
        ->check(one_of({"arbiter", "fusefs", "gadgetd"}));
    command->footer(
        "Each mistake is one line with file and line number, and the exit status is 1.\n\n"
        "Examples:\n"
        "  drivebay check-config /etc/drivebay/arbiter.cfg\n"
        "  drivebay check-config --for gadgetd /tmp/blade01.cfg");
    command->callback([options, &invocation] {
        if (Status checked = check_config(invocation, *options); !checked) {
            invocation.fail(checked.error());
        }
    });
}

}  // namespace drivebay::cli
