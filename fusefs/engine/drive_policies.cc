#include "fusefs/engine/drive_policies.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay {

namespace {

// 0: it is none.
std::uint64_t parse_bytes(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    const unsigned shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    const bool fits = error == std::errc() && (shift > 0 || unit.empty()) && number <= (std::uint64_t{1} << 40 >> shift);
    return fits ? number << shift : 0;
}

bool names(const std::string& pattern, const std::string& name) { return pattern == "*" || pattern == name; }

}  // namespace

Result<RateLimit> parse_rate_limit(const std::string& text) {
    const auto slash = text.find('/');
    const auto space = text.find(' ');
    if (slash == std::string::npos || space == std::string::npos || space < slash) {
        return Error{EINVAL, fmt::format("{} is no limit: write \"BLADE/DRIVE NUMBER\", bytes a second with K, M or G, for "
                                         "example \"blade07/scratch 20M\" or \"*/install 100M\"",
                                         log::quoted(text))};
    }
    RateLimit limit{text.substr(0, slash), text.substr(slash + 1, space - slash - 1), parse_bytes(text.substr(space + 1))};
    if (limit.bytes_per_second < 4096) {
        return Error{EINVAL, fmt::format("{} is no rate between 4K and 1024G bytes a second", log::quoted(text.substr(space + 1)))};
    }
    for (const auto& [what, name] : {std::pair("blade", &limit.blade), std::pair("drive", &limit.drive)}) {
        if (*name != "*") {
            if (Status known = check_name(what, *name); !known) {
                return known.error();
            }
        }
    }
    return limit;
}

CachePolicy DrivePolicies::cache_of(const std::string& drive) const {
    const auto found = cache.find(drive);
    return found == cache.end() ? CachePolicy::automatic : found->second;
}

std::uint64_t DrivePolicies::rate_of(const std::string& blade, const std::string& drive) const {
    for (const RateLimit& limit : limits) {
        if (names(limit.blade, blade) && names(limit.drive, drive)) {
            return limit.bytes_per_second;
        }
    }
    return 0;
}

}  // namespace drivebay
