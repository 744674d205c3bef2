// A configuration file judged by the daemon that will read it: each daemon knows its own keys, and its room is closed to
// all others, so its program is asked.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::cli {

// "arbiter", "fusefs" or "gadgetd" by the name of the file (arbiter.cfg, gadgetd-blade01.cfg); wrong_usage if it
// tells none.
Result<std::string> daemon_of_file(const std::string& path);

// The program of "arbiter", "fusefs" or "gadgetd".
std::string program_of(const std::string& daemon);

// The first of `folders` in which `is_program` finds it; empty if none.
std::string find_program(const std::string& program, const std::vector<std::string>& folders,
                         const std::function<bool(const std::string& path)>& is_program);

// This program's own folder, then $PATH's, then /usr/sbin.
std::vector<std::string> program_folders();

struct CheckOutcome {
    bool accepted = false;
    std::string output;  // what the program said on stdout and stderr
};

// Runs `program --check-config --config FILE` to its end. refused: it could not be started.
Result<CheckOutcome> run_check(const std::string& program, const std::string& file);

}  // namespace drivebay::cli
