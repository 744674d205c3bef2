#include "cli/table.h"

#include <fmt/format.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdlib>
#include <utility>

namespace drivebay::cli {
namespace {

// wcwidth() answers by the thread's locale; names and sources are UTF-8 whatever the user's is.
class Utf8Locale {
public:
    Utf8Locale()
        : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(locale_ ? uselocale(locale_) : nullptr) {}
    ~Utf8Locale() {
        if (locale_) {
            uselocale(before_);
            freelocale(locale_);
        }
    }
    Utf8Locale(const Utf8Locale&) = delete;
    Utf8Locale& operator=(const Utf8Locale&) = delete;
    bool is_there() const { return locale_ != nullptr; }

private:
    locale_t locale_;
    locale_t before_;
};

// The character at the head of `text` and its length in bytes (RFC 3629); {-1, 1} where it is no UTF-8.
std::pair<std::int32_t, std::size_t> first_character(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) {
        return {lead, 1};
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length) {
        return {-1, 1};
    }
    std::int32_t character = lead & (0xff >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return {-1, 1};
        }
        character = (character << 6) | (byte(i) & 0x3f);
    }
    constexpr std::array<std::int32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
    if (character < least[length] || character > 0x10ffff || is_surrogate) {
        return {-1, 1};
    }
    return {character, length};
}

std::string_view begin_colour(Colour colour) {
    switch (colour) {
        case Colour::good: return "\x1b[32m";
        case Colour::waiting: return "\x1b[33m";
        case Colour::bad: return "\x1b[31m";
        case Colour::none: break;
    }
    return "";
}

}  // namespace

std::size_t display_width(std::string_view text) {
    const Utf8Locale locale;
    std::size_t width = 0;
    while (!text.empty()) {
        const auto [character, length] = first_character(text);
        const int columns = character < 0 || !locale.is_there() ? 1 : wcwidth(character);
        width += columns < 0 ? 1 : static_cast<std::size_t>(columns);
        text.remove_prefix(length);
    }
    return width;
}

std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const auto [character, length] = first_character(text);
        const bool is_control = (character >= 0 && character < 0x20) || (character >= 0x7f && character < 0xa0);
        if (character < 0 || is_control) {
            for (const char byte : text.substr(0, length)) {
                shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
            }
        } else {
            shown += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    return shown;
}

std::string human_duration(std::uint64_t milliseconds) {
    const std::uint64_t seconds = milliseconds / 1000;
    if (milliseconds < 1000) {
        return fmt::format("{} ms", milliseconds);
    }
    if (seconds < 60) {
        return fmt::format("{:.1f} s", static_cast<double>(milliseconds) / 1000);
    }
    if (seconds < 3600) {
        return fmt::format("{} min", seconds / 60);
    }
    return seconds < 2 * 86400 ? fmt::format("{} h", seconds / 3600) : fmt::format("{} d", seconds / 86400);
}

std::string human_size(std::uint64_t bytes) {
    constexpr std::array<const char*, 7> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::size_t unit = 0;
    std::uint64_t divisor = 1;
    while (unit + 1 < units.size() && bytes / divisor >= 1024) {
        divisor *= 1024;
        ++unit;
    }
    if (bytes % divisor == 0) {
        return fmt::format("{} {}", bytes / divisor, units[unit]);
    }
    return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(divisor), units[unit]);
}

Colour colour_of_state(std::string_view state) {
    if (state == "loaded" || state == "held" || state == "ready" || state == "online") {
        return Colour::good;
    }
    if (state == "waiting" || state == "revoking" || state == "ejected-by-host") {
        return Colour::waiting;
    }
    if (state == "error" || state == "offline" || state == "failed") {
        return Colour::bad;
    }
    return Colour::none;
}

bool colours_wanted() {
    const char* no_colour = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && terminal && std::string_view(terminal) != "dumb";
}

std::string Table::format(bool colours) const {
    std::vector<std::size_t> widths;
    for (const std::string& head : heads_) {
        widths.push_back(display_width(head));
    }
    std::vector<std::vector<Cell>> lines;
    for (const std::vector<Cell>& row : rows_) {
        std::vector<Cell>& line = lines.emplace_back();
        for (std::size_t i = 0; i < heads_.size(); ++i) {
            const std::string text = i < row.size() ? printable(row[i].text) : "";
            line.emplace_back(text.empty() ? "-" : text, i < row.size() ? row[i].colour : Colour::none);
            widths[i] = std::max(widths[i], display_width(line.back().text));
        }
    }
    lines.insert(lines.begin(), std::vector<Cell>(heads_.begin(), heads_.end()));

    std::string shown;
    for (const std::vector<Cell>& line : lines) {
        for (std::size_t i = 0; i < line.size(); ++i) {
            const std::string_view colour = colours ? begin_colour(line[i].colour) : "";
            shown += colour;
            shown += line[i].text;
            shown += colour.empty() ? "" : "\x1b[0m";
            if (i + 1 < line.size()) {
                shown.append(widths[i] - display_width(line[i].text) + 2, ' ');
            }
        }
        shown += '\n';
    }
    return shown;
}

}  // namespace drivebay::cli
