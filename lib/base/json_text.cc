#include "lib/base/json_text.h"

#include <nlohmann/json.hpp>

namespace drivebay {

namespace {

bool is_too_deep(std::string_view text) {
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted && c == '\\') {
            ++i;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '[' || c == '{')) {
            if (++depth > deepest_json) {
                return true;
            }
        } else if (!quoted && (c == ']' || c == '}')) {
            --depth;
        }
    }
    return false;
}

}  // namespace

nlohmann::json parse_json(std::string_view text) {
    using nlohmann::json;
    return is_too_deep(text) ? json(json::value_t::discarded) : json::parse(text, nullptr, false);
}

}  // namespace drivebay
