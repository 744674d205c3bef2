#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/report.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

Status show_leases(const Invocation& invocation) {
    const Result<json> leases = Arbiter::get_from(invocation.server, "/v1/leases");
    if (!leases) {
        return leases.error();
    }
    if (invocation.json) {
        Invocation::print_json(*leases);
        return success();
    }
    const Table table = lease_table(leases->value("leases", json::array()));
    fmt::print("{}", table.empty() ? "no leases\n" : table.format(colours_wanted()));
    return success();
}

}  // namespace

void add_leases_command(CLI::App& program, Invocation& invocation) {
    CLI::App* leases = program.add_subcommand("leases", "Show who holds which drive, and who waits for it");
    leases->fallthrough();
    leases->footer("In the order in which they are served. --server and --json: see drivebay --help.");
    leases->callback([&invocation] {
        if (Status shown = show_leases(invocation); !shown) {
            invocation.fail(shown.error());
        }
    });
}

}  // namespace drivebay::cli
