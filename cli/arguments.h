// What can be judged of a command line without asking anybody. Errors are wrong_usage (cli/arbiter.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/result.h"

namespace drivebay::cli {

// The name, fit to stand in a URL.
Result<std::string> checked_name(std::string_view what, const std::string& name);

// "b1,b2" and repetitions in order, each once; "all" alone is {"all"}.
Result<std::vector<std::string>> checked_blades(const std::vector<std::string>& lists);

// A source as the data path will understand it: URIs as they are, paths absolute. A relative path is meant from
// `folder`, unless the server is another machine's, where it means nothing.
Result<std::string> checked_source(const std::string& source, bool server_is_local, const std::string& folder);

// --wait and --wait=S: "forever" is no limit; otherwise seconds, fractions allowed, up to a year.
Result<std::optional<Duration>> checked_wait(const std::string& text);

}  // namespace drivebay::cli
