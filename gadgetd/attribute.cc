#include "gadgetd/attribute.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "lib/base/fd.h"

namespace drivebay::gadgetd {

Result<std::string> read_attribute(const std::string& path) {
    UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return system_error(errno, "cannot open " + path);
    }
    std::string value;
    char part[4096];
    for (;;) {
        ssize_t got = read(file.get(), part, sizeof part);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_error(errno, "cannot read " + path);
        }
        if (got == 0) {
            break;
        }
        value.append(part, static_cast<std::size_t>(got));
    }
    if (value.ends_with('\n')) {
        value.pop_back();
    }
    return value;
}

Status write_attribute(const std::string& path, const std::string& value) {
    UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) {
        return system_error(errno, "cannot open " + path);
    }
    std::string line = value + "\n";
    ssize_t put = write(file.get(), line.data(), line.size());
    if (put < 0) {
        return system_error(errno, "cannot write " + path);
    }
    if (static_cast<std::size_t>(put) != line.size()) {
        return Error{EIO, "cannot write " + path + ": only a part was taken"};
    }
    return success();
}

}  // namespace drivebay::gadgetd
