// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <string>

namespace drivebay::arbiter {

// How many letters are wrong, missing, too many, or swapped with their neighbour.
std::size_t edit_distance(const std::string& one, const std::string& other);

// "; did you mean NAME?" for the nearest key of a map, or nothing where none is near.
template <class Map>
std::string name_hint(const Map& known, const std::string& name) {
    std::string nearest;
    std::size_t distance = name.size() < 5 ? 2 : 3;
    for (const auto& [candidate, value] : known) {
        if (const std::size_t found = edit_distance(candidate, name); found < distance) {
            distance = found;
            nearest = candidate;
        }
    }
    return nearest.empty() ? std::string() : "; did you mean " + nearest + "?";
}

}  // namespace drivebay::arbiter
