// The names of drives and blades. They become file names, NBD export names and URL parts, so they are
// kept to what all of these bear unescaped.
#pragma once

#include <string_view>

#include "lib/base/result.h"

namespace drivebay {

inline constexpr std::size_t max_name_length = 64;

// The pseudo-blade that stands for the management module's own use of a drive.
inline constexpr std::string_view local_blade = "@local";

// Letters, digits, '-', '_', '.', not beginning with '-' or '.', at most 64 bytes, and not "all".
// `what` ("drive", "blade") begins the sentence of a refusal.
Status check_name(std::string_view what, std::string_view name);

}  // namespace drivebay
