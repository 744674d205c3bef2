#include "fusefs/engine/source_roots.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "lib/base/fd.h"

namespace drivebay {

namespace {

// "/" and "/srv/" as "/srv": always with one slash behind.
std::string folder(const std::string& root) { return root.ends_with('/') ? root : root + '/'; }

}  // namespace

const std::string* root_of(const std::vector<std::string>& roots, const std::string& path) {
    const auto found = std::find_if(roots.begin(), roots.end(), [&](const std::string& root) { return path.starts_with(folder(root)); });
    return found == roots.end() ? nullptr : &*found;
}

int open_below(const std::string& root, const std::string& path, int flags) {
    const UniqueFd from(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!from) {
        return -1;
    }
    std::string below = path.substr(folder(root).size());
    below.erase(0, below.find_first_not_of('/'));
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    return static_cast<int>(syscall(SYS_openat2, from.get(), below.c_str(), &how, sizeof how));
}

}  // namespace drivebay
