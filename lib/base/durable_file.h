// A file that is there whole or not at all, after a power cut too.
#pragma once

#include <string>

#include "lib/base/result.h"

namespace drivebay {

enum class Replace { no, yes };

// Makes `unfinished`, in the same folder, durable and gives it the name `path`. EEXIST where `path` is there and is not
// to be replaced. After an error `unfinished` is removed.
Status put_in_place(const std::string& unfinished, const std::string& path, Replace replace);

// The file with just that text and mode, put in the place of what was there.
Status write_durably(const std::string& path, const std::string& text, unsigned mode);

}  // namespace drivebay
