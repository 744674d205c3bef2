#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/lease_wait.h"
#include "lib/base/base64.h"
#include "lib/base/durable_file.h"
#include "lib/base/fd.h"
#include "lib/store/sqlite.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;

// The arbiter copies between its other work, and the answer may come over a slow network.
constexpr auto patience = std::chrono::seconds(120);

struct BackupOptions {
    std::string file;
    bool force = false;
};

// What stands in the way is told before the arbiter is asked for anything.
Status check_target(const BackupOptions& options) {
    struct stat status {};
    if (::lstat(options.file.c_str(), &status) != 0) {
        return success();
    }
    if (!S_ISREG(status.st_mode)) {
        return failure(refused, fmt::format("{} is there and is no file; name a new file", options.file));
    }
    if (!options.force) {
        return failure(
            refused, fmt::format("{} is there already; name another file, or add --force to replace it", options.file));
    }
    return success();
}

Status write_all(int file, const std::string& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t wrote = ::write(file, bytes.data() + done, bytes.size() - done);
        if (wrote < 0 && errno != EINTR) {
            return system_error(errno, "cannot write");
        }
        done += wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
    }
    return success();
}

// A backup that cannot be restored must not look like one.
Status check_backup(const std::string& file) {
    const auto findings = store::Database::integrity_findings(file);
    if (!findings) {
        return findings.error();
    }
    return findings->empty() ? success() : Status(Error{EBADMSG, findings->front()});
}

Status write_backup(const std::string& bytes, const BackupOptions& options) {
    const auto refuse = [&options](const Error& error) {
        return failure(refused, fmt::format("no backup was written to {}: {}", options.file, error.message));
    };
    std::string unfinished = options.file + ".XXXXXX";
    UniqueFd file(::mkostemp(unfinished.data(), O_CLOEXEC));
    if (!file) {
        return refuse(system_error(errno, "cannot make a file beside it"));
    }
    Status outcome = write_all(file.get(), bytes);
    file.reset();
    if (outcome) {
        outcome = check_backup(unfinished);
    }
    if (!outcome) {
        ::unlink(unfinished.c_str());
        return refuse(outcome.error());
    }
    outcome = put_in_place(unfinished, options.file, options.force ? Replace::yes : Replace::no);
    return outcome ? outcome : Status(refuse(outcome.error()));
}

Result<json> back_up(const Invocation& invocation, const BackupOptions& options) {
    if (Status free = check_target(options); !free) {
        return free.error();
    }
    const Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    const Result<json> answer = arbiter->post("/v1/backup", json::object(), patience);
    if (!answer) {
        return answer;
    }
    const auto bytes = from_base64(text_of(*answer, "base64"));
    if (!bytes || bytes->empty()) {
        return failure(refused, fmt::format("no backup was written to {}: what the arbiter at {} sent is none",
                                            options.file, arbiter->name()));
    }
    if (Status written = write_backup(*bytes, options); !written) {
        return written.error();
    }
    return json{{"file", options.file}, {"bytes", bytes->size()}, {"place", text_of(*answer, "place")}};
}

std::string told(const json& backup) {
    const std::string place = text_of(backup, "place");
    return fmt::format(
        "{0}: the arbiter's store, {1} bytes, written and checked\n"
        "To restore it: stop drivebay-arbiterd, put {0} in the place of {2}, remove {2}-wal and {2}-shm,\n"
        "and start drivebay-arbiterd again. It goes on above every epoch that the data path has seen.\n",
        text_of(backup, "file"), backup["bytes"].get<std::size_t>(), place);
}

}  // namespace

void add_backup_command(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<BackupOptions>();
    CLI::App* command = program.add_subcommand("backup", "Write a copy of the arbiter's store while the arbiter runs");
    command->fallthrough();
    command->add_option("FILE", options->file, "The file to write")->required();
    command->add_flag("--force", options->force, "Replace FILE if it is there");
    command->footer(
        "The file holds drives, blades, leases and epochs as they were when it was asked for, or later. How to restore "
        "it\n"
        "is told when it is written, and in man drivebay.\n\n"
        "Example:\n"
        "  drivebay backup /var/backups/drivebay.db --force\n\n"
        "--server and --json: see drivebay --help.");
    command->callback([options, &invocation] {
        const Result<json> backup = back_up(invocation, *options);
        if (!backup) {
            invocation.fail(backup.error());
        } else if (invocation.json) {
            Invocation::print_json(*backup);
        } else {
            fmt::print("{}", told(*backup));
        }
    });
}

}  // namespace drivebay::cli
