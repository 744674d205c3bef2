#include "cli/daemon_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "cli/arbiter.h"
#include "lib/base/fd.h"

extern char** environ;

namespace drivebay::cli {
namespace {

struct Daemon {
    std::string_view name;
    std::string_view program;
};

constexpr std::array<Daemon, 3> daemons = {
    {{"arbiter", "drivebay-arbiterd"}, {"fusefs", "drivebayfs"}, {"gadgetd", "drivebay-gadgetd"}}};

std::string read_all(int fd) {
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t count = read(fd, buffer.data(), buffer.size());
        if (count > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(count));
        } else if (count == 0 || errno != EINTR) {
            return text;
        }
    }
}

}  // namespace

Result<std::string> daemon_of_file(const std::string& path) {
    const std::string file = std::filesystem::path(path).filename().string();
    for (const Daemon& daemon : daemons) {
        if (file.starts_with(daemon.name)) {
            return std::string(daemon.name);
        }
    }
    return failure(wrong_usage, fmt::format("{} does not tell by its name which daemon reads it: add --for arbiter, "
                                            "--for fusefs or --for gadgetd",
                                            path));
}

std::string program_of(const std::string& daemon) {
    for (const Daemon& known : daemons) {
        if (known.name == daemon) {
            return std::string(known.program);
        }
    }
    return "";
}

std::string find_program(const std::string& program, const std::vector<std::string>& folders,
                         const std::function<bool(const std::string& path)>& is_program) {
    for (const std::string& folder : folders) {
        if (std::string path = folder + '/' + program; is_program(path)) {
            return path;
        }
    }
    return "";
}

std::vector<std::string> program_folders() {
    std::vector<std::string> folders;
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        folders.push_back(self.parent_path().string());
    }
    const char* path = std::getenv("PATH");
    std::string_view list = path ? path : "";
    while (!list.empty()) {
        const std::string_view folder = list.substr(0, list.find(':'));
        // An empty entry means the current folder, which is no place to run a program from unasked.
        if (!folder.empty()) {
            folders.emplace_back(folder);
        }
        list.remove_prefix(std::min(folder.size() + 1, list.size()));
    }
    folders.emplace_back("/usr/sbin");
    return folders;
}

Result<CheckOutcome> run_check(const std::string& program, const std::string& file) {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return failure(refused, system_error(errno, "cannot make a pipe").message);
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
    std::array<std::string, 4> words = {program, "--check-config", "--config", file};
    std::array<char*, 5> arguments = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
    pid_t child = -1;
    const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    writer.reset();
    if (error != 0) {
        return failure(refused, system_error(error, fmt::format("cannot run {}", program)).message);
    }
    CheckOutcome outcome;
    outcome.output = read_all(reader.get());
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    outcome.accepted = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!outcome.accepted && outcome.output.empty()) {
        outcome.output = fmt::format("{} refused {} and said nothing\n", program, file);
    }
    return outcome;
}

}  // namespace drivebay::cli
