#include "arbiter/core/lease_table.h"

#include <array>
#include <utility>

namespace drivebay::arbiter {
namespace {

constexpr std::array<std::string_view, 6> state_words = {"waiting", "granted", "held", "revoking", "fencing", "gone"};
constexpr std::array<std::string_view, 13> ending_words = {"none",    "withdrawn", "taken",   "changed",  "refreshed",
                                                           "ejected", "dropped",   "expired", "rebooted", "unadmitted",
                                                           "left",    "refused",   "closed"};

template <class Enum, std::size_t n>
std::optional<Enum> parse(const std::array<std::string_view, n>& words, std::string_view text) {
    for (std::size_t i = 0; i < n; ++i) {
        if (words[i] == text) {
            return static_cast<Enum>(i);
        }
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(LeaseState state) {
    return state_words.at(static_cast<std::size_t>(state));
}
std::string_view to_string(Ending ending) {
    return ending_words.at(static_cast<std::size_t>(ending));
}

std::optional<LeaseState> parse_lease_state(std::string_view text) {
    return parse<LeaseState>(state_words, text);
}
std::optional<Ending> parse_ending(std::string_view text) {
    return parse<Ending>(ending_words, text);
}

}  // namespace drivebay::arbiter
