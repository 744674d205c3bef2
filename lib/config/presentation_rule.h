// A line of a configuration about certain presentations: "BLADE/DRIVE WORD", * for any blade or any drive.
#pragma once

#include <string>

#include "lib/base/result.h"

namespace drivebay::config {

struct PresentationRule {
    std::string blade;
    std::string drive;
    std::string word;

    bool fits(const std::string& one_blade, const std::string& one_drive) const {
        return (blade == "*" || blade == one_blade) && (drive == "*" || drive == one_drive);
    }
};

// EINVAL: `otherwise` where it has another form, else a sentence on the name that is none.
Result<PresentationRule> parse_presentation_rule(const std::string& text, const Error& otherwise);

}  // namespace drivebay::config
