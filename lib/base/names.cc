#include "lib/base/names.h"

#include <fmt/format.h>

#include <cerrno>

#include "lib/base/log.h"

namespace drivebay {
namespace {

bool may_stand_anywhere(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
    if (name.empty()) {
        return Error{EINVAL, fmt::format("{} name is empty: give it 1 to {} letters, digits, '-', '_' or '.'",
                                         what, max_name_length)};
    }
    if (name.size() > max_name_length) {
        return Error{ENAMETOOLONG, fmt::format("{} name has {} bytes: at most {} are possible", what,
                                               name.size(), max_name_length)};
    }
    if (name == "all") {
        return Error{EINVAL, fmt::format("{} name \"all\" is taken: it means every blade; choose another", what)};
    }
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        const bool fits = may_stand_anywhere(c) || (i > 0 && (c == '-' || c == '.'));
        if (!fits) {
            return Error{EINVAL,
                         fmt::format("{} name {} has a character that cannot stand there: use letters, digits, "
                                     "'_', and after the first also '-' and '.'",
                                     what, log::quoted(name))};
        }
    }
    return success();
}

}  // namespace drivebay
