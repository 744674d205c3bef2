#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/state_file.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

struct Place {
    Arbiter arbiter;
    json state;  // what is there
};

Result<Place> look(const Invocation& invocation) {
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    Result<json> status = arbiter->get("/v1/status");
    if (!status) {
        return status.error();
    }
    return Place{std::move(*arbiter), operators_state(*status)};
}

void export_config(Invocation& invocation) {
    const Result<Place> place = look(invocation);
    if (!place) {
        invocation.fail(place.error());
        return;
    }
    if (invocation.json) {
        Invocation::print_json(place->state);
        return;
    }
    const Result<std::string> text = state_text(place->state);
    if (!text) {
        invocation.fail(text.error());
        return;
    }
    fmt::print("# What operators have set at {}, for drivebay import-config.\n{}", place->arbiter.name(), *text);
}

// The one among `entries` that has the same values for `keys`; null: none.
json like(const json& entries, const json& entry, std::initializer_list<const char*> keys) {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const json& other) {
        return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return other.at(key) == entry.at(key); });
    });
    return found == entries.end() ? json() : *found;
}

class Import {
public:
    Import(const Place& place, const json& wanted) : place_(place), wanted_(wanted) {}

    // Stops at the first that is refused: what comes later may need it.
    Status run() {
        for (const json& drive : wanted_.at("drives")) {
            if (Status entered = enter_drive(drive); !entered) {
                return entered;
            }
        }
        for (const json& blade : wanted_.at("blades")) {
            const json& there = place_.state.at("blades");
            if (std::find(there.begin(), there.end(), blade) != there.end()) {
                ++kept_;
            } else if (Status entered = enter("/v1/blades", {{"name", blade}}); !entered) {
                return entered;
            }
        }
        for (const json& presentation : wanted_.at("presentations")) {
            if (Status entered = enter_presentation(presentation); !entered) {
                return entered;
            }
        }
        return success();
    }

    int entered() const { return entered_; }
    int kept() const { return kept_; }

private:
    Status enter(const std::string& path, const json& body) {
        Result<json> answer = place_.arbiter.post(path, body);
        entered_ += answer ? 1 : 0;
        return answer ? success() : Status(answer.error());
    }

    Status enter_drive(const json& drive) {
        const std::string name = text_of(drive, "name");
        const json there = like(place_.state.at("drives"), drive, {"name"});
        if (there.is_null()) {
            return enter("/v1/drives", drive);
        }
        const bool same_kind = drive.at("kind") == "auto" || drive.at("kind") == there.at("kind");
        if (drive.at("source") != there.at("source") || drive.at("read_only") != there.at("read_only") || !same_kind) {
            return failure(refused, fmt::format("there is another drive {0} ({1}): drivebay drive remove {0}, or give "
                                                "it another name in the file",
                                                name, text_of(there, "source")));
        }
        ++kept_;
        return success();
    }

    Status enter_presentation(const json& wanted) {
        const json there = like(place_.state.at("presentations"), wanted, {"drive", "blade"});
        if (there.is_null()) {
            json body{{"drive", wanted.at("drive")}, {"access", wanted.at("access")}, {"slot", wanted.at("slot")}, {"policy", "queue"}};
            body["blades"] = json::array({wanted.at("blade")});
            return enter("/v1/presentations", body);
        }
        if (there.at("access") != wanted.at("access")) {
            return failure(refused, fmt::format("{0} is presented to {1} to {2} already: drivebay withdraw {0} --from {1}",
                                                text_of(wanted, "drive"), text_of(wanted, "blade"), text_of(there, "access")));
        }
        ++kept_;
        return success();
    }

    const Place& place_;
    const json& wanted_;
    int entered_ = 0;
    int kept_ = 0;
};

void import_config(Invocation& invocation, const std::string& file) {
    const Result<json> wanted = read_state(file);
    if (!wanted) {
        invocation.fail(wanted.error());
        return;
    }
    const Result<Place> place = look(invocation);
    if (!place) {
        invocation.fail(place.error());
        return;
    }
    Import import(*place, *wanted);
    const Status done_well = import.run();
    if (invocation.json) {
        Invocation::print_json({{"entered", import.entered()}, {"there_already", import.kept()}});
    } else {
        fmt::print("{} entered, {} there already\n", import.entered(), import.kept());
    }
    if (!done_well) {
        invocation.fail(done_well.error());
    }
}

}  // namespace

void add_state_commands(CLI::App& program, Invocation& invocation) {
    CLI::App* out = program.add_subcommand("export-config", "Write what was set by this command as a configuration file");
    out->fallthrough();
    out->footer(
        "Drives, blades and presentations, on stdout; nothing of who holds what just now.\n\n"
        "Example:\n"
        "  drivebay export-config >/root/chassis.cfg\n\n"
        "--server and --json: see drivebay --help.");
    out->callback([&invocation] { export_config(invocation); });

    auto file = std::make_shared<std::string>();
    CLI::App* in = program.add_subcommand("import-config", "Enter what such a file has and the arbiter has not");
    in->fallthrough();
    in->add_option("FILE", *file, "As drivebay export-config writes it")->required();
    in->footer(
        "What is there already stays; what is there otherwise is refused, and then nothing after it is entered. "
        "Presentations\n"
        "that others stand in the way of wait in the queue.\n\n"
        "Example:\n"
        "  drivebay import-config /root/chassis.cfg\n\n"
        "--server and --json: see drivebay --help.");
    in->callback([file, &invocation] { import_config(invocation, *file); });
}

}  // namespace drivebay::cli
