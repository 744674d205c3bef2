#include "arbiter/core/refusals.h"

#include <fmt/format.h>

#include "arbiter/core/name_hints.h"
#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {

Refusal no_such_drive(const State& state, const std::string& name) {
    const std::string hint = name_hint(state.drives, name);
    return {404, fmt::format("there is no drive {}{}", log::quoted(name),
                             hint.empty() ? "; \"drivebay status\" lists those there are" : hint)};
}

Refusal no_such_blade(const State& state, const std::string& name) {
    const std::string hint = name_hint(state.blades, name);
    return {404, fmt::format("there is no blade {}{}", log::quoted(name),
                             hint.empty() ? "; \"drivebay status\" lists those there are" : hint)};
}

std::string name_holders(const std::vector<Holder>& holders) {
    std::string names;
    for (const Holder& holder : holders) {
        names += fmt::format("{}{} ({})", names.empty() ? "" : ", ",
                             holder.blade == local_blade ? "the management module itself" : holder.blade,
                             to_string(holder.mode));
    }
    return names;
}

}  // namespace drivebay::arbiter
