#include "fusefs/engine/drive_policies.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "lib/base/log.h"

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

}  // namespace

Result<RateLimit> parse_rate_limit(const std::string& text) {
    auto rule = config::parse_presentation_rule(
        text, Error{EINVAL, fmt::format("{} is no limit: write \"BLADE/DRIVE NUMBER\", bytes a second with K, M or G, for "
                                        "example \"blade07/scratch 20M\" or \"*/install 100M\"",
                                        log::quoted(text))});
    if (!rule) {
        return rule.error();
    }
    RateLimit limit{std::move(*rule), 0};
    limit.bytes_per_second = parse_bytes(limit.rule.word);
    if (limit.bytes_per_second < 4096) {
        return Error{EINVAL, fmt::format("{} is no rate between 4K and 1024G bytes a second", log::quoted(limit.rule.word))};
    }
    return limit;
}

CachePolicy DrivePolicies::cache_of(const std::string& drive) const {
    const auto found = cache.find(drive);
    return found == cache.end() ? CachePolicy::automatic : found->second;
}

std::uint64_t DrivePolicies::rate_of(const std::string& blade, const std::string& drive) const {
    for (const RateLimit& limit : limits) {
        if (limit.rule.fits(blade, drive)) {
            return limit.bytes_per_second;
        }
    }
    return 0;
}

}  // namespace drivebay
