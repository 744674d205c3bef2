// drivebay: the operator's command. Everything it does is a request to the arbiter (doc/PROTOCOL.md, "The operator").
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/command.h"
#include "lib/base/log.h"

namespace drivebay::cli {

namespace {

const char* const examples =
    "A drive is shared under a name, and presented to blades by that name:\n"
    "  drivebay drive add install --source /srv/images/debian.iso\n"
    "  drivebay present install --to all\n"
    "  drivebay status\n\n"
    "Exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong usage, 3 the arbiter cannot be reached.\n"
    "More: drivebay COMMAND --help, man drivebay";

struct Place {
    std::string words;             // the innermost command that was named, for the hint where to find help
    std::vector<std::string> rest; // words behind it that are nothing it knows
};

Place innermost_command(const CLI::App& program) {
    Place place{"drivebay", program.remaining()};
    for (const CLI::App* level = &program; !level->get_subcommands().empty();) {
        level = level->get_subcommands().front();
        place.words += ' ' + level->get_name();
        const std::vector<std::string> rest = level->remaining();
        place.rest.insert(place.rest.end(), rest.begin(), rest.end());
    }
    return place;
}

std::string sentence_for(const CLI::ParseError& error, const Place& place) {
    // CLI11 tells that a command is missing, and keeps the misspelt one for itself.
    const bool lacks_command = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
    if (lacks_command && !place.rest.empty()) {
        return fmt::format("there is no command {} {}", place.words, log::quoted(place.rest.front()));
    }
    return error.what();
}

int run(int argc, char** argv) {
    Invocation invocation;
    CLI::App program("Share the management module's drives among the blades as USB drives", "drivebay");
    program.set_version_flag("--version", "drivebay " DRIVEBAY_VERSION);
    program.require_subcommand(1);
    program.footer(examples);
    program.add_option("--server", invocation.server, "The arbiter: its socket, or HOST[:PORT] of another machine's")
        ->envname("DRIVEBAY_SERVER")
        ->type_name("URL|SOCKET")
        ->capture_default_str();
    // Where every request looks for it (cli/arbiter.h).
    program
        .add_option_function<std::string>(
            "--identity", [](const std::string& folder) { ::setenv(identity_variable, folder.c_str(), 1); },
            "Folder of your key and certificate for another machine's arbiter (drivebay operator add)")
        ->type_name("FOLDER");
    program.add_flag("--json", invocation.json, "Print JSON instead of text");
    add_status_command(program, invocation);
    add_present_command(program, invocation);
    add_withdraw_command(program, invocation);
    add_revoke_command(program, invocation);
    add_drive_commands(program, invocation);
    add_blade_commands(program, invocation);
    add_enroll_commands(program, invocation);
    add_leases_command(program, invocation);
    add_events_command(program, invocation);
    add_backup_command(program, invocation);
    add_check_config_command(program, invocation);
    add_state_commands(program, invocation);
    try {
        program.parse(argc, argv);
    } catch (const CLI::Success& asked_for_help_or_version) {
        program.exit(asked_for_help_or_version);
    } catch (const CLI::ParseError& error) {
        const Place place = innermost_command(program);
        fmt::print(stderr, "drivebay: {}\nHow to use it: {} --help\n", sentence_for(error, place), place.words);
        return wrong_usage;
    }
    if (std::fflush(stdout) != 0) {
        fmt::print(stderr, "drivebay: {}\n", system_error(errno, "cannot write the answer").message);
        return refused;
    }
    return invocation.exit_status;
}

}  // namespace
}  // namespace drivebay::cli

int main(int argc, char** argv) {
    // Into a pipe whose reader left (`drivebay events | head`) the write fails instead.
    std::signal(SIGPIPE, SIG_IGN);
    try {
        return drivebay::cli::run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "drivebay: {}\n", error.what());
        return drivebay::cli::refused;
    }
}
