#include "lib/base/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "lib/base/clock.h"

namespace drivebay::log {
namespace {

std::atomic<Level> highest_level{Level::info};
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
    std::string line = journald_listens()
                           ? fmt::format("<{}>", static_cast<int>(level))
                           : fmt::format("{} {} {} ", wall_time(), program_name, level_name(level));
    line += fmt::format("msg={}", quoted(message));
    for (const Field& field : fields) {
        line += fmt::format(" {}={}", field.key, quoted(field.text));
    }
    line += '\n';
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace drivebay::log
