// Which blades may have which drives at all, whoever presents them: the configuration's `allow`.
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/config/presentation_rule.h"
#include "lib/protocol/types.h"

namespace drivebay::arbiter {

class Allowances {
public:
    // "BLADE/DRIVE read" or "BLADE/DRIVE write", which allows reading, too; either name may be "*". EINVAL with a sentence.
    static Status check(const std::string& text);
    // Of texts that check() has passed. None: everything is allowed.
    Allowances() = default;
    explicit Allowances(const std::vector<std::string>& texts);

    bool allow(const std::string& blade, const std::string& drive, Mode access) const;

private:
    struct Allowance {
        config::PresentationRule rule;
        Mode access = Mode::read;
    };
    static Result<Allowance> parse(const std::string& text);

    std::vector<Allowance> allowed_;
};

}  // namespace drivebay::arbiter
