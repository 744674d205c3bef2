#include "lib/base/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "lib/base/fd.h"

namespace drivebay {
namespace {

Status sync(const std::string& path, int flags) {
    const UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC));
    if (!file || ::fsync(file.get()) != 0) {
        return system_error(errno, "cannot make durable: " + path);
    }
    return success();
}

int rename_without_replacing(const std::string& from, const std::string& to) {
    const int done = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
    if (done == 0 || (errno != EINVAL && errno != ENOSYS)) {
        return done;
    }
    // A file system that cannot tell: the small gap between the look and the rename has to do.
    if (::access(to.c_str(), F_OK) == 0) {
        errno = EEXIST;
        return -1;
    }
    return ::rename(from.c_str(), to.c_str());
}

}  // namespace

Status put_in_place(const std::string& unfinished, const std::string& path, Replace replace) {
    Status outcome = sync(unfinished, O_RDONLY);
    if (outcome) {
        const int renamed = replace == Replace::yes ? ::rename(unfinished.c_str(), path.c_str())
                                                    : rename_without_replacing(unfinished, path);
        if (renamed != 0) {
            outcome = system_error(errno, "cannot give a file the name " + path);
        }
    }
    if (!outcome) {
        ::unlink(unfinished.c_str());
        return outcome;
    }
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    return sync(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY);
}

Status write_durably(const std::string& path, const std::string& text, unsigned mode) {
    std::string unfinished = path + ".XXXXXX";
    UniqueFd file(::mkostemp(unfinished.data(), O_CLOEXEC));
    if (!file) {
        return system_error(errno, "cannot make a file beside " + path);
    }
    bool written = ::fchmod(file.get(), mode) == 0;
    for (std::size_t done = 0; written && done < text.size();) {
        const ssize_t count = ::write(file.get(), text.data() + done, text.size() - done);
        written = count >= 0 || errno == EINTR;
        done += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    if (!written) {
        const int code = errno;
        ::unlink(unfinished.c_str());
        return system_error(code, "cannot write " + path);
    }
    file.reset();
    return put_in_place(unfinished, path, Replace::yes);
}

}  // namespace drivebay
