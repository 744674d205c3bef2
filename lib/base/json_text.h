// JSON that somebody else sent.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace drivebay {

// Nobody nests deeper in drivebay's own messages than 5. A level costs its reader some hundred bytes.
inline constexpr int deepest_json = 32;

// No exception: what is no JSON, or nested deeper than that, is `is_discarded()`, which is no object either.
nlohmann::json parse_json(std::string_view text);

}  // namespace drivebay
