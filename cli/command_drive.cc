#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/report.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A source opens at once, or after the blades that have it have let it go; beyond that the command only tells.
constexpr Duration longest_opening = 15s;
constexpr Duration pause_between_looks = 50ms;

struct DriveOptions {
    std::string name;
    std::string source;
    std::string kind = "auto";
    bool read_only = false;
    bool names_only = false;
};

// One request about a named drive; `Ask` gets the arbiter and the path of that drive.
template <class Ask>
Result<json> about_drive(const Invocation& invocation, const std::string& name, Ask&& ask) {
    Result<std::string> checked = checked_name("drive", name);
    if (!checked) {
        return checked.error();
    }
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    return ask(*arbiter, "/v1/drives/" + *checked);
}

// The drive once its source is open, so that whoever types the next command can use it.
Result<json> opened(const Arbiter& arbiter, const std::string& path, const Result<json>& answer) {
    if (!answer) {
        return answer;
    }
    const Instant until = BootClock::now() + longest_opening;
    for (;;) {
        Result<json> drive = arbiter.get(path);
        if (!drive) {
            return drive;
        }
        const std::string state = text_of(*drive, "state");
        if (state == "failed") {
            return failure(refused, fmt::format("{} is entered, but does not open: {}", text_of(*drive, "name"),
                                                text_of(*drive, "error")));
        }
        if (state == "ready" || BootClock::now() >= until) {
            if (state != "ready") {
                (*drive)["notice"] = fmt::format("{} is not open yet: look with drivebay drive show {}",
                                                 text_of(*drive, "name"), text_of(*drive, "name"));
            } else if (answer->contains("notice")) {
                (*drive)["notice"] = (*answer)["notice"];
            }
            return drive;
        }
        std::this_thread::sleep_for(pause_between_looks);
    }
}

Result<json> add_drive(const Invocation& invocation, const DriveOptions& options) {
    return about_drive(invocation, options.name, [&](const Arbiter& arbiter, const std::string& path) -> Result<json> {
        std::error_code error;
        const std::filesystem::path folder = std::filesystem::current_path(error);
        if (error) {
            return failure(refused, fmt::format("the current folder has no path ({}): give --source from / on",
                                                error.message()));
        }
        Result<std::string> source = checked_source(options.source, arbiter.is_local(), folder.string());
        if (!source) {
            return source.error();
        }
        const json body = {{"name", options.name},
                           {"source", *source},
                           {"kind", options.kind},
                           {"read_only", options.read_only}};
        return opened(arbiter, path, arbiter.post("/v1/drives", body));
    });
}

Result<json> list_drives(const Invocation& invocation) {
    const Result<json> status = Arbiter::get_from(invocation.server, "/v1/status");
    if (!status) {
        return status.error();
    }
    return json{{"drives", status->value("drives", json::array())}};
}

// The answer's one line for people, or the whole of it as JSON.
template <class Line>
void finish(Invocation& invocation, const Result<json>& answer, Line&& line) {
    if (!answer) {
        invocation.fail(answer.error());
        return;
    }
    if (const std::string notice = text_of(*answer, "notice"); !notice.empty()) {
        fmt::print(stderr, "drivebay: note: {}\n", notice);
    }
    if (invocation.json) {
        Invocation::print_json(*answer);
    } else {
        fmt::print("{}", line(*answer));
    }
}

std::string summary(const json& drive) {
    const auto size = drive.find("size");
    const bool has_size = size != drive.end() && size->is_number_unsigned();
    return fmt::format("{}: {}, {}{}", text_of(drive, "name"), text_of(drive, "kind"),
                       has_size ? human_size(size->get<std::uint64_t>()) : "size not known yet",
                       drive.value("read_only", false) ? ", read-only" : "");
}

std::string names_of(const json& drives) {
    std::string names;
    for (const json& drive : drives) {
        names += text_of(drive, "name") + "\n";
    }
    return names;
}

void add_name(CLI::App* command, DriveOptions& options) {
    command->fallthrough();
    command->add_option("NAME", options.name, "The drive's name")->required();
}

}  // namespace

void add_drive_commands(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<DriveOptions>();
    CLI::App* drive = program.add_subcommand("drive", "Add, remove, refresh, show and list drives");
    drive->fallthrough();
    drive->require_subcommand(1);
    drive->footer("drivebay drive COMMAND --help tells more.");

    CLI::App* add = drive->add_subcommand("add", "Share an image, a device or a remote drive under a name");
    add_name(add, *options);
    add->add_option("--source", options->source, "A file, a block device, or an nbd://, nbds:// or nbd+unix:// URI")
        ->required()
        ->type_name("PATH|URI");
    add->add_option("--kind", options->kind, "How hosts see it; without it an ISO image is a cdrom, the rest a disk")
        ->type_name("disk|cdrom")
        ->check(one_of({"auto", "disk", "cdrom"}));
    add->add_flag("--read-only", options->read_only, "Never to be written, whoever asks");
    add->footer(
        "A source has one name: what is shared already, be it by another path, is refused.\n\n"
        "Examples:\n"
        "  drivebay drive add install --source /srv/images/debian.iso\n"
        "  drivebay drive add scratch --source /dev/sdb\n"
        "  drivebay drive add depot --source nbd://depot.example/images --read-only\n\n"
        "--server and --json: see drivebay --help.");
    add->callback([options, &invocation] {
        finish(invocation, add_drive(invocation, *options),
               [](const json& answer) { return fmt::format("{}\n", summary(answer)); });
    });

    CLI::App* remove = drive->add_subcommand("remove", "Stop sharing a drive that nobody uses");
    add_name(remove, *options);
    remove->callback([options, &invocation] {
        finish(invocation,
               about_drive(invocation, options->name,
                           [](const Arbiter& arbiter, const std::string& path) { return arbiter.remove(path); }),
               [&](const json&) { return fmt::format("{} is removed; its data are untouched\n", options->name); });
    });

    CLI::App* refresh = drive->add_subcommand("refresh", "Open a source anew: an image was replaced or has grown");
    add_name(refresh, *options);
    refresh->footer("Each blade that has it gets a media change. --server and --json: see drivebay --help.");
    refresh->callback([options, &invocation] {
        finish(invocation,
               about_drive(invocation, options->name,
                           [](const Arbiter& arbiter, const std::string& path) {
                               return opened(arbiter, path, arbiter.post(path + "/refresh", json::object()));
                           }),
               [](const json& answer) { return fmt::format("{}\n", summary(answer)); });
    });

    CLI::App* show = drive->add_subcommand("show", "Show all that is known of a drive");
    add_name(show, *options);
    show->callback([options, &invocation] {
        finish(invocation,
               about_drive(invocation, options->name,
                           [](const Arbiter& arbiter, const std::string& path) { return arbiter.get(path); }),
               describe);
    });

    CLI::App* list = drive->add_subcommand("list", "List the drives");
    list->fallthrough();
    list->add_flag("--names,-n", options->names_only, "Only the names, one a line");
    list->callback([options, &invocation] {
        finish(invocation, list_drives(invocation), [&](const json& answer) {
            const json& drives = answer["drives"];
            return options->names_only ? names_of(drives) : drive_table(drives).format(colours_wanted());
        });
    });
}

}  // namespace drivebay::cli
