// Which files may be drives, where the configuration bounds it: those below certain folders. Whoever may write such a folder
// and no more must not be able to lead out of it.
#pragma once

#include <string>
#include <vector>

namespace drivebay {

// The one of `roots` that `path` is below, by its name; null: none of them.
const std::string* root_of(const std::vector<std::string>& roots, const std::string& path);

// As open(2). With a root, nothing on the way from there may lead out of it, no link and no "..": EXDEV (openat2(2),
// RESOLVE_BENEATH).
int open_below(const std::string& root, const std::string& path, int flags);

}  // namespace drivebay
