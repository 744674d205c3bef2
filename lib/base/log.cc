#include "lib/base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log_sink.h"

namespace drivebay::log {
namespace {

std::atomic<Level> highest_level{Level::info};
std::atomic<bool> goes_to_syslog{false};
std::string program_name = "drivebay";

std::string_view level_name(Level level) {
    switch (level) {
    case Level::error: return "error";
    case Level::warning: return "warning";
    case Level::notice: return "notice";
    case Level::info: return "info";
    case Level::debug: return "debug";
    }
    return "unknown";
}

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:@#+,%").find(c) != std::string_view::npos;
}

bool journald_listens() {
    static const bool listens = std::getenv("JOURNAL_STREAM") != nullptr;
    return listens;
}

}  // namespace

void set_level(Level level) { highest_level = level; }

void outlive_starter() {
    struct stat place {};
    const bool is_gone = ::fstat(STDERR_FILENO, &place) != 0;
    const bool is_journal = S_ISSOCK(place.st_mode) && journald_listens();
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (is_gone || S_ISREG(place.st_mode) || is_journal || !null) {
        return;
    }
    // Keeps a pointer to the name.
    ::openlog(program_name.c_str(), LOG_PID, LOG_DAEMON);
    goes_to_syslog = true;
    ::dup2(null.get(), STDERR_FILENO);
}

void set_program(std::string_view name) { program_name = name; }

std::string quoted(std::string_view text) {
    if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) {
        return std::string(text);
    }
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            out += c;
        }
    }
    return out + '"';
}

void write(Level level, std::string_view message, Fields fields) {
    if (level > highest_level.load(std::memory_order_relaxed)) {
        return;
    }
    const bool in_syslog = goes_to_syslog;
    std::string line = in_syslog ? std::string()
                       : journald_listens()
                           ? fmt::format("<{}>", static_cast<int>(level))
                           : fmt::format("{} {} {} ", wall_time(), program_name, level_name(level));
    line += fmt::format("msg={}", quoted(message));
    for (const Field& field : fields) {
        line += fmt::format(" {}={}", field.key, quoted(field.text));
    }
    if (in_syslog) {
        ::syslog(static_cast<int>(level), "%s", line.c_str());
        return;
    }
    line += '\n';
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace drivebay::log
