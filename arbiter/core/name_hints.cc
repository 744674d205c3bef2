#include "arbiter/core/name_hints.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace drivebay::arbiter {

std::size_t edit_distance(const std::string& one, const std::string& other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 1; i <= one.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= other.size(); ++j) {
            const std::size_t above = row[j];
            const std::size_t replaced = diagonal + (one[i - 1] == other[j - 1] ? 0 : 1);
            row[j] = std::min({above + 1, row[j - 1] + 1, replaced});
            diagonal = above;
        }
    }
    return row[other.size()];
}

}  // namespace drivebay::arbiter
