#include "cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/arbiter.h"
#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::cli {
namespace {

constexpr double longest_wait_seconds = 366.0 * 24 * 3600;

// RFC 3986 section 3.1: a scheme begins with a letter and goes on with letters, digits, '+', '-', '.'.
bool is_uri(std::string_view source) {
    const std::size_t end = source.find("://");
    if (end == std::string_view::npos || end == 0) {
        return false;
    }
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return is_letter(source[0]) && std::all_of(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(end), [&](char c) {
               return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
           });
}

}  // namespace

Result<std::string> checked_name(std::string_view what, const std::string& name) {
    if (Status fits = check_name(what, name); !fits) {
        return failure(wrong_usage, fits.error().message);
    }
    return name;
}

Result<std::vector<std::string>> checked_blades(const std::vector<std::string>& lists) {
    std::vector<std::string> blades;
    for (const std::string& list : lists) {
        for (std::size_t begin = 0; begin <= list.size();) {
            const std::size_t end = std::min(list.find(',', begin), list.size());
            const std::string blade = list.substr(begin, end - begin);
            begin = end + 1;
            if (blade != "all") {
                if (Result<std::string> name = checked_name("blade", blade); !name) {
                    return name.error();
                }
            }
            if (std::find(blades.begin(), blades.end(), blade) == blades.end()) {
                blades.push_back(blade);
            }
        }
    }
    const bool has_all = std::find(blades.begin(), blades.end(), "all") != blades.end();
    if (has_all && blades.size() > 1) {
        return failure(wrong_usage, "\"all\" means every blade: give it alone, or the blades' names without it");
    }
    if (blades.empty()) {
        return failure(wrong_usage, "no blade is named: give one or more, or \"all\"");
    }
    return blades;
}

Result<std::string> checked_source(const std::string& source, bool server_is_local, const std::string& folder) {
    if (source.empty()) {
        return failure(wrong_usage, "--source is empty: give the path of an image or a device, or an nbd:// URI");
    }
    if (source.find('\0') != std::string::npos) {
        return failure(wrong_usage, "--source has a zero byte in it, which no path can have");
    }
    if (source.front() == '/' || is_uri(source)) {
        return source;
    }
    if (!server_is_local) {
        return failure(wrong_usage,
                       fmt::format("--source {} is a relative path, which means nothing on another machine: give the "
                                   "path as it is on the management module, from / on",
                                   log::quoted(source)));
    }
    return folder.ends_with('/') ? folder + source : folder + '/' + source;
}

Result<std::optional<Duration>> checked_wait(const std::string& text) {
    if (text == "forever") {
        return std::optional<Duration>();
    }
    double seconds = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, seconds, std::chars_format::fixed);
    if (error != std::errc() || stop != end || !(seconds >= 0) || seconds > longest_wait_seconds) {
        return failure(wrong_usage, fmt::format("--wait={} is no number of seconds: use --wait=30, or --wait alone to "
                                                "wait as long as it takes",
                                                text));
    }
    return std::optional<Duration>(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
}

}  // namespace drivebay::cli
