// The command tree: each command_*.cc adds its part of it. A command's callback runs while CLI11 parses and leaves its
// exit status in the Invocation.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/arbiter.h"
#include "lib/base/result.h"

namespace CLI {
class App;
}

namespace drivebay::cli {

struct Invocation {
    std::string server = default_server;
    bool json = false;
    int exit_status = done;

    // Prints the sentence on stderr and keeps its exit status.
    void fail(const Error& error);
    // The answer as JSON on stdout.
    static void print_json(const nlohmann::json& value);
};

// For CLI::Option::check: an empty sentence where `value` is one of `words`.
std::function<std::string(const std::string& value)> one_of(std::vector<std::string> words);

void add_drive_commands(CLI::App& program, Invocation& invocation);
void add_blade_commands(CLI::App& program, Invocation& invocation);
void add_present_command(CLI::App& program, Invocation& invocation);
void add_withdraw_command(CLI::App& program, Invocation& invocation);
void add_revoke_command(CLI::App& program, Invocation& invocation);
void add_status_command(CLI::App& program, Invocation& invocation);
void add_leases_command(CLI::App& program, Invocation& invocation);
void add_events_command(CLI::App& program, Invocation& invocation);
void add_backup_command(CLI::App& program, Invocation& invocation);
// pki, enroll, unenroll, operator
void add_enroll_commands(CLI::App& program, Invocation& invocation);
void add_check_config_command(CLI::App& program, Invocation& invocation);
// export-config, import-config
void add_state_commands(CLI::App& program, Invocation& invocation);

}  // namespace drivebay::cli
