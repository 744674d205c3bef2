#include "arbiter/api/allowances.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {
namespace {

bool names(const std::string& pattern, const std::string& name) { return pattern == "*" || pattern == name; }

}  // namespace

Result<Allowances::Allowance> Allowances::parse(const std::string& text) {
    const auto slash = text.find('/');
    const auto space = text.find(' ');
    const auto access = space == std::string::npos ? std::nullopt : parse_mode(text.substr(space + 1));
    if (slash == std::string::npos || slash > space || !access) {
        return Error{EINVAL, fmt::format("{} allows nothing: write \"BLADE/DRIVE read\" or \"BLADE/DRIVE write\", for example "
                                         "\"blade07/scratch write\" or \"*/install read\"",
                                         log::quoted(text))};
    }
    Allowance allowance{text.substr(0, slash), text.substr(slash + 1, space - slash - 1), *access};
    for (const auto& [what, name] : {std::pair("blade", &allowance.blade), std::pair("drive", &allowance.drive)}) {
        if (*name != "*") {
            if (Status known = check_name(what, *name); !known) {
                return known.error();
            }
        }
    }
    return allowance;
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
               return names(one.blade, blade) && names(one.drive, drive) && (one.access == Mode::write || access == Mode::read);
           });
}

}  // namespace drivebay::arbiter
