#include "arbiter/api/allowances.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"

namespace drivebay::arbiter {

Result<Allowances::Allowance> Allowances::parse(const std::string& text) {
    const Error otherwise{EINVAL, fmt::format("{} allows nothing: write \"BLADE/DRIVE read\" or \"BLADE/DRIVE write\", for example "
                                              "\"blade07/scratch write\" or \"*/install read\"",
                                              log::quoted(text))};
    auto rule = config::parse_presentation_rule(text, otherwise);
    if (!rule) {
        return rule.error();
    }
    const auto access = parse_mode(rule->word);
    if (!access) {
        return otherwise;
    }
    return Allowance{std::move(*rule), *access};
}

Status Allowances::check(const std::string& text) {
    const auto parsed = parse(text);
    return parsed ? success() : Status(parsed.error());
}

Allowances::Allowances(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
        allowed_.push_back(parse(text).value());
    }
}

bool Allowances::allow(const std::string& blade, const std::string& drive, Mode access) const {
    return allowed_.empty() || std::any_of(allowed_.begin(), allowed_.end(), [&](const Allowance& one) {
               return one.rule.fits(blade, drive) && (one.access == Mode::write || access == Mode::read);
           });
}

}  // namespace drivebay::arbiter
