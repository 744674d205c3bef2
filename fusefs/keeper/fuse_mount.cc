#include "fusefs/keeper/fuse_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

// mountinfo writes space, tab, newline and backslash as \ooo (fs/seq_file.c, mangle).
std::string unescape(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

// The type of what is mounted uppermost exactly at `path`; empty: nothing is. Asks the kernel's table, because looking
// at the path itself may need an answer from a filesystem that has none.
std::string mounted_type(const std::string& path) {
    std::ifstream table("/proc/self/mountinfo");
    std::string type;
    for (std::string line; std::getline(table, line);) {
        std::istringstream words(line);  // proc(5): id parent device root mount-point options [fields…] - type source …
        std::string word;
        std::string target;
        for (int i = 0; i < 5 && words >> target; ++i) {
        }
        while (words >> word && word != "-") {
        }
        if (words >> word && unescape(target) == path) {
            type = word;
        }
    }
    return type;
}

// `path` without links, dots and doubled slashes. The last part is not looked at: it may be a dead mount.
Result<std::string> true_path(const std::string& path) {
    std::string text = path;
    while (text.size() > 1 && text.back() == '/') {
        text.pop_back();
    }
    const auto slash = text.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : text.substr(0, slash);
    const std::string last = slash == std::string::npos ? text : text.substr(slash + 1);
    char resolved[PATH_MAX];
    if (last.empty() || last == "." || last == ".." || realpath(parent.c_str(), resolved) == nullptr) {
        if (realpath(text.c_str(), resolved) == nullptr) {
            return system_error(errno, fmt::format("mount point {}", path));
        }
        return std::string(resolved);
    }
    const std::string joined = fmt::format("{}/{}", std::string_view(resolved) == "/" ? "" : resolved, last);
    struct stat link {};
    if (lstat(joined.c_str(), &link) == 0 && S_ISLNK(link.st_mode) && realpath(joined.c_str(), resolved) != nullptr) {
        return std::string(resolved);
    }
    return joined;
}

}  // namespace

Status fuse_detach(const std::string& mount_point) {
    if (umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
        return system_error(errno, fmt::format("cannot unmount {}", mount_point));
    }
    return success();
}

Result<FuseMount> fuse_mount(const FuseMountOptions& options) {
    Result<std::string> path = true_path(options.mount_point);
    if (!path) {
        return path.error();
    }
    struct stat folder {};
    while (stat(path->c_str(), &folder) != 0) {
        const int code = errno;
        // A FUSE mount whose server is gone answers so, and nothing else does.
        if (code == ENOTCONN) {
            log::notice("taking away the mount that a dead drivebayfs left", {{"mount_point", *path}});
            if (Status detached = fuse_detach(*path); !detached) {
                return detached.error();
            }
            continue;
        }
        if (code == ENOENT) {
            return Error{code, fmt::format("mount point {0} does not exist: make it with mkdir -p {0}", *path)};
        }
        return system_error(code, fmt::format("mount point {}", *path));
    }
    if (!S_ISDIR(folder.st_mode)) {
        return Error{ENOTDIR, fmt::format("mount point {} is not a folder", *path)};
    }
    if (mounted_type(*path) == fuse_mount_type) {
        return Error{EBUSY, fmt::format("a drivebayfs is mounted on {0} already: end it with umount {0}", *path)};
    }
    UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!device) {
        const int code = errno;
        return system_error(code, code == ENOENT || code == ENODEV
                                      ? "cannot open /dev/fuse (is the kernel's module there? modprobe fuse)"
                                      : "cannot open /dev/fuse");
    }
    // Documentation/filesystems/fuse.rst, "Mount options".
    std::string data = fmt::format("fd={},rootmode=40000,user_id={},group_id={}", device.get(), geteuid(), getegid());
    data += options.allow_other ? ",default_permissions,allow_other" : "";
    const unsigned long flags =
        MS_NOSUID | MS_NODEV | (options.read_only ? static_cast<unsigned long>(MS_RDONLY) : 0UL);
    if (mount(options.source.c_str(), path->c_str(), fuse_mount_type, flags, data.c_str()) != 0) {
        const int code = errno;
        return system_error(code,
                            fmt::format("cannot mount on {}{}", *path, code == EPERM ? " (mounting needs root)" : ""));
    }
    return FuseMount{std::move(device), *path};
}

}  // namespace drivebay
