// Base64 (RFC 4648, section 4): bytes as they stand in JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace drivebay {

// Of pieces whose length divides by 3, the texts one after the other are the text of the whole.
std::string to_base64(std::string_view bytes);
// Nothing where the text is no base64: a strange character, a wrong length or padding.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace drivebay
