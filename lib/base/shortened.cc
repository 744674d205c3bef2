#include "lib/base/shortened.h"

#include <string_view>

namespace drivebay {
namespace {

constexpr std::string_view ellipsis = "…";

bool continues_a_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string shortened(std::string text, std::size_t most) {
    if (text.size() <= most) {
        return text;
    }
    std::size_t end = most - ellipsis.size();
    while (end > 0 && continues_a_character(text[end])) {
        --end;
    }
    text.resize(end);
    text += ellipsis;
    return text;
}

}  // namespace drivebay
