#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/report.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

void print_section(const Table& table, const char* if_empty) {
    if (table.empty()) {
        fmt::print("{}\n", if_empty);
    } else {
        fmt::print("{}", table.format(colours_wanted()));
    }
}

Status show_status(const Invocation& invocation) {
    const Result<json> status = Arbiter::get_from(invocation.server, "/v1/status");
    if (!status) {
        return status.error();
    }
    if (invocation.json) {
        Invocation::print_json(*status);
        return success();
    }
    const json store = status->value("store", json::object());
    if (const auto waiting = store.find("waiting_ms"); waiting != store.end() && waiting->is_number()) {
        fmt::print("the arbiter's store has not answered for {:.1f} s: what was asked since is not promised yet\n\n",
                   waiting->get<double>() / 1000);
    }
    const json security = status->value("security", json::object());
    if (const std::string notice = security.is_object() ? text_of(security, "notice") : ""; !notice.empty()) {
        fmt::print("{}\n\n", notice);
    }
    const json none = json::array();
    print_section(drive_table(status->value("drives", none)),
                  "no drives; add one: drivebay drive add NAME --source PATH");
    fmt::print("\n");
    print_section(blade_table(status->value("blades", none)),
                  "no blades; add one: drivebay blade add NAME");
    fmt::print("\n");
    print_section(lease_table(status->value("leases", none)),
                  "no leases; present a drive: drivebay present DRIVE --to BLADE");
    return success();
}

}  // namespace

void add_status_command(CLI::App& program, Invocation& invocation) {
    CLI::App* status = program.add_subcommand("status", "Show drives, blades and leases");
    status->fallthrough();
    status->footer("With --json: the keys drives, blades, presentations and leases; store while it does not answer.\n"
                   "--server and --json: see drivebay --help.");
    status->callback([&invocation] {
        if (Status shown = show_status(invocation); !shown) {
            invocation.fail(shown.error());
        }
    });
}

}  // namespace drivebay::cli
