#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/report.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

struct BladeOptions {
    std::string name;
    bool names_only = false;
};

enum class Verb { add, remove, show };

Result<json> about_blade(const Invocation& invocation, const std::string& name, Verb verb) {
    Result<std::string> checked = checked_name("blade", name);
    if (!checked) {
        return checked.error();
    }
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    const std::string path = "/v1/blades/" + *checked;
    switch (verb) {
        case Verb::add: return arbiter->post("/v1/blades", {{"name", *checked}});
        case Verb::remove: return arbiter->remove(path);
        case Verb::show: break;
    }
    return arbiter->get(path);
}

Result<json> list_blades(const Invocation& invocation) {
    const Result<json> status = Arbiter::get_from(invocation.server, "/v1/status");
    if (!status) {
        return status.error();
    }
    return json{{"blades", status->value("blades", json::array())}};
}

std::string names_of(const json& blades) {
    std::string names;
    for (const json& blade : blades) {
        names += text_of(blade, "name") + "\n";
    }
    return names;
}

std::string described(json blade) {
    const Table slots = slot_table(blade);
    blade.erase("slots");
    return describe(blade) + (slots.empty() ? "" : "\n" + slots.format(colours_wanted()));
}

void finish(Invocation& invocation, const Result<json>& answer, const std::string& text) {
    if (!answer) {
        invocation.fail(answer.error());
    } else if (invocation.json) {
        Invocation::print_json(*answer);
    } else {
        fmt::print("{}", text);
    }
}

}  // namespace

void add_blade_commands(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<BladeOptions>();
    CLI::App* blade = program.add_subcommand("blade", "Add, remove, show and list blades");
    blade->fallthrough();
    blade->require_subcommand(1);
    blade->footer("add is needed before a blade's drivebay-gadgetd can connect. drivebay blade COMMAND --help tells more.");
    const auto add_verb = [&](const char* verb, const char* summary) {
        CLI::App* command = blade->add_subcommand(verb, summary);
        command->fallthrough();
        command->add_option("NAME", options->name, "The blade's name, as in its gadgetd.cfg")->required();
        return command;
    };

    add_verb("add", "Make a blade known")->callback([options, &invocation] {
        finish(invocation, about_blade(invocation, options->name, Verb::add),
               fmt::format("{} is added\n", options->name));
    });
    add_verb("remove", "Forget a blade that has no drives")->callback([options, &invocation] {
        finish(invocation, about_blade(invocation, options->name, Verb::remove),
               fmt::format("{} is removed\n", options->name));
    });
    add_verb("show", "Show all that is known of a blade")->callback([options, &invocation] {
        const Result<json> answer = about_blade(invocation, options->name, Verb::show);
        finish(invocation, answer, answer ? described(*answer) : "");
    });

    CLI::App* list = blade->add_subcommand("list", "List the blades and what is in their slots");
    list->fallthrough();
    list->add_flag("--names,-n", options->names_only, "Only the names, one a line");
    list->callback([options, &invocation] {
        const Result<json> answer = list_blades(invocation);
        std::string text;
        if (answer) {
            const json& blades = (*answer)["blades"];
            text = options->names_only ? names_of(blades) : blade_table(blades).format(colours_wanted());
        }
        finish(invocation, answer, text);
    });
}

}  // namespace drivebay::cli
