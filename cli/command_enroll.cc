#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/table.h"
#include "lib/base/durable_file.h"
#include "lib/tls/folder.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

struct EnrolOptions {
    std::vector<std::string> addresses;
    std::string name;
    std::string role = "view";
    std::string folder;
};

void finish(Invocation& invocation, const Result<json>& answer, const std::function<std::string(const json&)>& text) {
    if (!answer) {
        invocation.fail(answer.error());
    } else if (invocation.json) {
        Invocation::print_json(*answer);
    } else {
        fmt::print("{}", text(*answer));
    }
}

Result<json> about_name(const Invocation& invocation, const char* what, const std::string& name,
                        const std::function<Result<json>(const Arbiter&)>& request) {
    if (Result<std::string> checked = checked_name(what, name); !checked) {
        return checked.error();
    }
    const Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    return arbiter ? request(*arbiter) : Result<json>(arbiter.error());
}

std::string listed(const json& pki) {
    Table table({"IDENTITY", "SERIAL", "DAYS LEFT"});
    const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                                 std::chrono::system_clock::now().time_since_epoch()).count();
    for (const json& one : pki.value("issued", json::array())) {
        table.add({text_of(one, "identity"), text_of(one, "serial"),
                   std::to_string((one.value("end", std::int64_t{0}) - now) / 86400)});
    }
    std::string text = fmt::format("module {}, fingerprint {}\nreached as:", text_of(pki, "module"), text_of(pki, "fingerprint"));
    for (const json& address : pki.value("addresses", json::array())) {
        text += " " + (address.is_string() ? address.get<std::string>() : "");
    }
    return text + "\n\n" + (table.empty() ? "no certificates; enroll a blade: drivebay enroll BLADE\n" : table.format(colours_wanted()));
}

// Where others may write, or that is not one's own, no key is to lie. A folder that is there stays as it is.
Status check_folder(const std::string& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) {
        return errno == ENOENT ? success() : Status(system_error(errno, "cannot look at " + folder));
    }
    const char* const why = !S_ISDIR(status.st_mode)             ? "is no folder"
                            : status.st_uid != ::geteuid()       ? "belongs to somebody else"
                            : (status.st_mode & 022) != 0        ? "can be written to by others"
                            : ::access((folder + "/" + tls::key_file).c_str(), F_OK) == 0 ? "holds somebody's key already"
                                                                 : nullptr;
    return why == nullptr ? success() : Status(Error{EINVAL, fmt::format("{} {}; name another folder with --to", folder, why)});
}

Status make_folder(const std::string& folder) {
    std::error_code error;
    // The parent of "a/b/" would be "a/b".
    const std::filesystem::path place = std::filesystem::absolute(folder + "/").lexically_normal().parent_path();
    std::filesystem::create_directories(place.parent_path(), error);
    if (error || (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)) {
        return system_error(error ? error.value() : errno, "cannot make the folder " + folder);
    }
    return success();
}

// The key is in the answer and nowhere else; it goes into files that only their owner reads.
Result<json> add_operator(const Invocation& invocation, const EnrolOptions& options) {
    if (const Status fits = check_folder(options.folder); !fits) {
        return failure(refused, fits.error().message);
    }
    auto answer = about_name(invocation, "operator", options.name, [&](const Arbiter& arbiter) {
        return arbiter.post("/v1/operators", {{"name", options.name}, {"role", options.role}});
    });
    if (!answer) {
        return answer;
    }
    Status kept = make_folder(options.folder);
    kept = kept ? write_durably(options.folder + "/" + tls::key_file, text_of(*answer, "key"), 0600) : kept;
    kept = kept ? tls::keep_certificate(options.folder, text_of(*answer, "certificate"), text_of(*answer, "authority"),
                                        tls::Identity::Kind::operator_, options.name)
                : kept;
    if (!kept) {
        return failure(refused, kept.error().message);
    }
    answer->erase("key");
    (*answer)["folder"] = options.folder;
    return answer;
}

}  // namespace

void add_enroll_commands(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<EnrolOptions>();
    const auto named = [options](CLI::App* command, const char* doc) {
        command->fallthrough();
        command->add_option("NAME", options->name, doc)->required();
        return command;
    };

    CLI::App* pki = program.add_subcommand("pki", "The module's authority, which says who is who on the network");
    pki->fallthrough();
    pki->require_subcommand(1);
    CLI::App* init = pki->add_subcommand("init", "Make the authority; blades are enrolled with it");
    init->fallthrough();
    init->add_option("ADDRESS", options->addresses,
                     "More names or addresses by which blades reach this machine; those it has now are known");
    init->footer("Where there is an authority already, the addresses are added to the module's certificates.");
    init->callback([options, &invocation] {
        const auto arbiter = Arbiter::at(invocation.server);
        const Result<json> answer = arbiter ? arbiter->post("/v1/pki", {{"addresses", options->addresses}})
                                            : Result<json>(arbiter.error());
        finish(invocation, answer, [](const json& made) {
            return fmt::format("module {} has its authority; enroll a blade with: drivebay enroll BLADE\n", text_of(made, "module"));
        });
    });
    CLI::App* show = pki->add_subcommand("show", "Show what was issued and is good");
    show->fallthrough();
    show->callback([&invocation] { finish(invocation, Arbiter::get_from(invocation.server, "/v1/pki"), listed); });

    named(program.add_subcommand("enroll", "Print a token with which a blade gets its certificate, once"), "The blade's name")
        ->callback([options, &invocation] {
            finish(invocation, about_name(invocation, "blade", options->name, [&](const Arbiter& arbiter) {
                       return arbiter.post("/v1/enrolments", {{"blade", options->name}});
                   }), [](const json& made) {
                       return fmt::format("On {}, within {} minutes:\n  drivebay-gadgetd enroll --arbiter HOST --token {}\n",
                                          text_of(made, "blade"), made.value("life_s", 0) / 60, text_of(made, "token"));
                   });
        });
    named(program.add_subcommand("unenroll", "Revoke a blade's certificate; its connections end at once"), "The blade's name")
        ->callback([options, &invocation] {
            finish(invocation, about_name(invocation, "blade", options->name, [&](const Arbiter& arbiter) {
                       return arbiter.remove("/v1/enrolments/" + options->name);
                   }), [](const json& gone) {
                       return fmt::format("{} is shut out; what is presented to it stays so until it is withdrawn\n", text_of(gone, "name"));
                   });
        });

    CLI::App* person = program.add_subcommand("operator", "Add and remove operators who come over the network");
    person->fallthrough();
    person->require_subcommand(1);
    CLI::App* add = named(person->add_subcommand("add", "Make an operator's key and certificate"), "The operator's name");
    add->add_option("--role", options->role, "view, operate or admin")->check(one_of({"view", "operate", "admin"}))->capture_default_str();
    add->add_option("--to", options->folder, "The folder to put them into")->required();
    add->footer("The folder is what --identity names on the operator's machine; carry it there safely. An earlier certificate of\n"
                "that name is revoked. It is good for 90 days, and renewed by itself when it is used in the last 30 of them.");
    add->callback([options, &invocation] {
        finish(invocation, add_operator(invocation, *options), [](const json& made) {
            return fmt::format("key and certificate are in {}; use them with: drivebay --server HOST --identity FOLDER …\n",
                               text_of(made, "folder"));
        });
    });
    named(person->add_subcommand("remove", "Revoke an operator's certificate"), "The operator's name")->callback([options, &invocation] {
        finish(invocation, about_name(invocation, "operator", options->name, [&](const Arbiter& arbiter) {
                   return arbiter.remove("/v1/operators/" + options->name);
               }), [](const json& gone) { return fmt::format("{} is shut out\n", text_of(gone, "name")); });
    });
}

}  // namespace drivebay::cli
