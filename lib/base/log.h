// Logging: one line a fact, on stderr, as key=value pairs that tools and people can both read.
// With journald behind stderr ($JOURNAL_STREAM) each line bears its priority instead of a time.
// Thread-safe: a line is written by one write(2).
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace drivebay::log {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

// A pair of one log line. The value is quoted and escaped where it needs to be, so that no name with
// a newline can forge a line.
struct Field {
    template <class T>
    Field(std::string_view name, const T& value) : key(name), text(fmt::format("{}", value)) {}
    std::string_view key;
    std::string text;
};

using Fields = std::initializer_list<Field>;

// Lines above this level are dropped; info by default.
void set_level(Level level);
// The program's name at the head of each line, to be set once before any thread starts.
void set_program(std::string_view name);

void write(Level level, std::string_view message, Fields fields);

inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }
inline void warning(std::string_view message, Fields fields = {}) { write(Level::warning, message, fields); }
inline void notice(std::string_view message, Fields fields = {}) { write(Level::notice, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void debug(std::string_view message, Fields fields = {}) { write(Level::debug, message, fields); }

// `text` with control characters escaped, in double quotes if it holds anything but plain word characters.
std::string quoted(std::string_view text);

}  // namespace drivebay::log
