// Attributes of configfs and sysfs: small text files, one value each, read whole and written by one write(2).
// The calls block for as long as the kernel does: only for threads that may hang.
#pragma once

#include <string>

#include "lib/base/result.h"

namespace drivebay::gadgetd {

// The value without its last newline. Errors bear the path.
Result<std::string> read_attribute(const std::string& path);

// Writes `value` with a newline after it: configfs calls no store function for an empty write, so clearing an attribute
// means writing the newline alone. In configfs and sysfs nothing can be created (EACCES: the kernel has no such
// attribute); in a plain folder that stands for one it can. The error's code is the kernel's own, even where libc has
// no name for it (ETOOSMALL, 525).
Status write_attribute(const std::string& path, const std::string& value);

}  // namespace drivebay::gadgetd
