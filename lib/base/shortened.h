// Texts that somebody else made, cut to what there is room for.
#pragma once

#include <cstddef>
#include <string>

namespace drivebay {

// At most `most` bytes, which are at least 3: a longer text ends in "…", and no UTF-8 character is cut in two.
std::string shortened(std::string text, std::size_t most);

}  // namespace drivebay
