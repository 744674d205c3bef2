#include "lib/config/presentation_rule.h"

#include <utility>

#include "lib/base/names.h"

namespace drivebay::config {

Result<PresentationRule> parse_presentation_rule(const std::string& text, const Error& otherwise) {
    const auto slash = text.find('/');
    const auto space = text.find(' ');
    if (slash == std::string::npos || space == std::string::npos || space < slash) {
        return otherwise;
    }
    PresentationRule rule{text.substr(0, slash), text.substr(slash + 1, space - slash - 1), text.substr(space + 1)};
    for (const auto& [what, name] : {std::pair("blade", &rule.blade), std::pair("drive", &rule.drive)}) {
        if (*name != "*") {
            if (Status known = check_name(what, *name); !known) {
                return known.error();
            }
        }
    }
    return rule;
}

}  // namespace drivebay::config
