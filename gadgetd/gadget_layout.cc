#include "gadgetd/gadget_layout.h"

#include <fmt/format.h>

namespace drivebay::gadgetd {

namespace {

constexpr const char* function_prefix = "mass_storage.slot";

}  // namespace

Layout share(int slots, int functions) {
    Layout layout(static_cast<std::size_t>(functions), slots / functions);
    for (int larger = slots % functions; larger > 0; --larger) {
        ++layout[static_cast<std::size_t>(functions - larger)];
    }
    return layout;
}

std::string function_name(int first_slot) {
    return fmt::format("{}{}", function_prefix, first_slot);
}

int first_slot_of(const std::string& function) {
    for (int slot = 0; slot < most_slots; ++slot) {
        if (function == function_name(slot)) {
            return slot;
        }
    }
    return -1;
}

int function_of(const Layout& layout, int slot) {
    int first = 0;
    for (const int luns : layout) {
        if (slot < first + luns) {
            break;
        }
        first += luns;
    }
    return first;
}

std::string siblings(const Layout& layout, int slot) {
    std::string text;
    int first = 0;
    for (const int luns : layout) {
        for (int other = first; slot >= first && slot < first + luns && other < first + luns; ++other) {
            if (other != slot) {
                text += fmt::format("{}{}", text.empty() ? "" : ", ", other);
            }
        }
        first += luns;
    }
    return text;
}

std::string sharing(const Layout& layout) {
    std::string text;
    int first = 0;
    for (const int luns : layout) {
        if (luns > 1) {
            const int last = first + luns - 1;
            text += fmt::format("{}{} and {}", text.empty() ? "" : "; ", siblings(layout, last), last);
        }
        first += luns;
    }
    return text;
}

}  // namespace drivebay::gadgetd
