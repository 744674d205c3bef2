#include "fusefs/engine/open_drive.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

#include "fusefs/engine/aio_drive.h"
#include "fusefs/engine/cached_drive.h"
#include "fusefs/engine/medium_identity.h"
#include "fusefs/engine/source_roots.h"
#include "fusefs/nbd_client/remote_drive.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t block = 512;

Error refusal(int code, const std::string& source, std::string_view why) {
    return Error{code, "the source " + log::quoted(source) + " " + std::string(why)};
}

std::string_view name_of_type(mode_t mode) {
    return S_ISCHR(mode) ? "character device" : S_ISFIFO(mode) ? "pipe" : S_ISSOCK(mode) ? "socket" : "special file";
}

Error open_error(int code, const OpenWish& wish, bool is_block_device) {
    switch (code) {
        case EBUSY:
            return refusal(EBUSY, wish.source,
                           is_block_device ? "is in use: it, or a part of it, is mounted or opened by another program "
                                             "(lsblk and fuser say by which)"
                                           : "is in use by another program");
        case EROFS:
            return refusal(EROFS, wish.source, "cannot be written: it is read-only; add --read-only");
        case EACCES:
        case EPERM:
            return refusal(code, wish.source,
                           wish.read_only ? "cannot be opened: drivebayfs may not read it"
                                          : "cannot be opened for writing: drivebayfs may not; add --read-only if "
                                            "reading will do");
        case EXDEV:
            return refusal(EXDEV, wish.source,
                           "leads out of its folder by a symbolic link or by ..; name the file where it really is");
        default: return system_error(code, "the source " + log::quoted(wish.source) + " cannot be opened");
    }
}

// Opens O_DIRECT where `direct` asks for it and that is known; `direct` tells.
Result<UniqueFd> open_descriptor(const OpenWish& wish, bool is_block_device, bool& direct) {
    int flags = (wish.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_LARGEFILE;
    if (is_block_device && !wish.shared) {
        flags |= O_EXCL;
    }
    const std::string* const root = root_of(wish.roots, wish.source);
    const Instant deadline = BootClock::now() + wish.lock_patience;
    while (true) {
        const int all = flags | (direct ? O_DIRECT : 0);
        UniqueFd fd(root == nullptr ? open(wish.source.c_str(), all) : open_below(*root, wish.source, all));
        if (fd) {
            return fd;
        }
        if (errno == EINVAL && direct) {
            direct = false;
        } else if (errno == EBUSY && BootClock::now() < deadline) {
            std::this_thread::sleep_for(50ms);
        } else if (errno != EINTR) {
            return open_error(errno, wish, is_block_device);
        }
    }
}

bool is_optical(dev_t device) { return major(device) == SCSI_CDROM_MAJOR; }

bool goes_direct(const OpenWish& wish, const struct stat& facts) {
    if (wish.cache == CachePolicy::automatic) {
        return !(wish.read_only && (S_ISREG(facts.st_mode) || is_optical(facts.st_rdev)));
    }
    return wish.cache == CachePolicy::direct;
}

Status lock_file(int fd, const OpenWish& wish) {
    const Instant deadline = BootClock::now() + wish.lock_patience;
    while (true) {
        struct flock lock{};
        lock.l_type = wish.read_only ? F_RDLCK : F_WRLCK;
        lock.l_whence = SEEK_SET;
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
            return success();
        }
        if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) {
            log::warning("the file system has no locks: nothing keeps another program from the drive",
                         {{"source", wish.source}});
            return success();
        }
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return system_error(errno, "the source " + log::quoted(wish.source) + " cannot be locked");
        }
        if (BootClock::now() >= deadline) {
            break;
        }
        std::this_thread::sleep_for(50ms);
    }
    struct flock holder{};
    holder.l_type = wish.read_only ? F_RDLCK : F_WRLCK;
    holder.l_whence = SEEK_SET;
    std::string who = "another program";
    // -1: the holder's lock is of an open file description, which has no process of its own.
    if (fcntl(fd, F_OFD_GETLK, &holder) == 0 && holder.l_type != F_UNLCK && holder.l_pid > 0) {
        who = "process " + std::to_string(holder.l_pid);
    }
    return refusal(EBUSY, wish.source, "is locked by " + who + " (lslocks and fuser may say more)");
}

// The unit of O_DIRECT's offsets, lengths and memory. Nothing: there is no such unit that divides `size`.
std::optional<std::uint32_t> direct_alignment(int fd, bool is_block_device, std::uint64_t size) {
    int logical = 0;
    if (is_block_device && ioctl(fd, BLKSSZGET, &logical) == 0 && logical >= static_cast<int>(block)) {
        return size % static_cast<std::uint64_t>(logical) == 0 ? std::optional(static_cast<std::uint32_t>(logical))
                                                                : std::nullopt;
    }
    // STATX_DIOALIGN is known to some file systems only, from kernel 6.1 on; a read tells it everywhere.
    void* memory = nullptr;
    if (posix_memalign(&memory, 8192, 8192) != 0) {
        return std::nullopt;
    }
    std::optional<std::uint32_t> found;
    for (const std::uint32_t unit : {512u, 1024u, 2048u, 4096u}) {
        if (size % unit == 0 && pread(fd, static_cast<char*>(memory) + unit % 4096, unit, 0) >= 0) {
            found = unit;
            break;
        }
    }
    std::free(memory);
    return found;
}

bool is_rotational(dev_t device) {
    const std::string link = "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
    for (const char* place : {"/queue/rotational", "/../queue/rotational"}) {
        const UniqueFd fd(open((link + place).c_str(), O_RDONLY | O_CLOEXEC));
        char answer = '0';
        if (fd && read(fd.get(), &answer, 1) == 1) {
            return answer == '1';
        }
    }
    return false;
}

}  // namespace

Result<OpenedFile> open_file(const OpenWish& wish) {
    const std::string& source = wish.source;
    if (source.empty() || source.front() != '/') {
        return refusal(EINVAL, source, "is not an absolute path; begin it with /");
    }
    // A device is named as such; only root makes nodes in /dev.
    const bool names_device = source.starts_with("/dev/");
    if (!wish.roots.empty() && !names_device && root_of(wish.roots, source) == nullptr) {
        return refusal(EACCES, source,
                       "is below none of the folders that drives.roots in fusefs.cfg names; move it there, or add its folder");
    }
    struct stat facts{};
    if (stat(source.c_str(), &facts) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? refusal(ENOENT, source, "does not exist on the management module")
                                                   : system_error(errno, "the source " + log::quoted(source));
    }
    if (S_ISDIR(facts.st_mode)) {
        return refusal(EISDIR, source, "is a folder; a drive is a file or a block device");
    }
    const bool is_block_device = S_ISBLK(facts.st_mode);
    if (!is_block_device && !S_ISREG(facts.st_mode)) {
        return refusal(EINVAL, source,
                       "is a " + std::string(name_of_type(facts.st_mode)) + "; a drive is a file or a block device");
    }
    if (!wish.roots.empty() && names_device != is_block_device) {
        return refusal(EACCES, source,
                       names_device ? "is a file in /dev, and with drives.roots only block devices are taken from there"
                                    : "leads to a device; with drives.roots a device is named by its own path in /dev");
    }
    // Root opens a write-protected file for writing all the same; whoever protected it meant it.
    if (!is_block_device && !wish.read_only && (facts.st_mode & 0222) == 0) {
        return refusal(EROFS, source, "cannot be written: its permissions forbid it to all; add --read-only");
    }
    OpenedFile opened;
    opened.path = source;
    opened.is_block_device = is_block_device;
    opened.direct = goes_direct(wish, facts);
    const bool direct_wanted = opened.direct;
    Result<UniqueFd> fd = open_descriptor(wish, is_block_device, opened.direct);
    if (!fd) {
        return fd.error();
    }
    opened.fd = std::move(*fd);
    // It may have been replaced between the two looks.
    if (fstat(opened.fd.get(), &facts) != 0 || S_ISBLK(facts.st_mode) != is_block_device ||
        (!is_block_device && !S_ISREG(facts.st_mode))) {
        return refusal(EBUSY, source, "was replaced while it was being opened; try again");
    }
    std::uint64_t size = static_cast<std::uint64_t>(facts.st_size);
    if (is_block_device) {
        if (ioctl(opened.fd.get(), BLKGETSIZE64, &size) != 0) {
            return system_error(errno, "the size of " + log::quoted(source) + " cannot be read");
        }
        int write_protected = 0;
        if (!wish.read_only && ioctl(opened.fd.get(), BLKROGET, &write_protected) == 0 && write_protected != 0) {
            return refusal(EROFS, source, "cannot be written: the device is write-protected; add --read-only");
        }
    }
    if (size == 0) {
        return refusal(EINVAL, source, is_block_device ? "holds no medium" : "is empty");
    }
    if (size < block) {
        return refusal(EINVAL, source, "is smaller than one block of 512 bytes (" + std::to_string(size) + ")");
    }
    if (size % block != 0) {
        return refusal(EINVAL, source,
                       "is no multiple of 512 bytes long (" + std::to_string(size) + "): a drive has whole blocks; " +
                           "truncate --size=%512 FILE rounds it up");
    }
    if (!is_block_device && !wish.shared) {
        if (Status locked = lock_file(opened.fd.get(), wish); !locked) {
            return locked.error();
        }
    }
    if (opened.direct) {
        if (const auto alignment = direct_alignment(opened.fd.get(), is_block_device, size)) {
            opened.alignment = *alignment;
        } else {
            fcntl(opened.fd.get(), F_SETFL, fcntl(opened.fd.get(), F_GETFL) & ~O_DIRECT);
            opened.direct = false;
        }
    }
    if (direct_wanted && !opened.direct) {
        log::notice("no O_DIRECT here: the drive goes through the page cache", {{"source", source}});
    }
    opened.geometry.size = size;
    opened.geometry.block_size = opened.direct ? opened.alignment : static_cast<std::uint32_t>(block);
    opened.geometry.read_only = wish.read_only;
    opened.geometry.rotational = is_rotational(is_block_device ? facts.st_rdev : facts.st_dev);
    return opened;
}

void open_drive(AioResources resources, const OpenWish& wish,
                std::function<void(Result<std::unique_ptr<Drive>>)> callback) {
    if (is_uri(wish.source)) {
        if (Result<std::string> known = normalised_uri(wish.source); !known) {
            resources.loop.at_round_end([callback = std::move(callback), error = known.error()] { callback(error); });
            return;
        }
        return open_remote_drive(resources.loop, {wish.source, wish.read_only, wish.trust_reconnect, wish.mark_writes},
                                 std::move(callback));
    }
    resources.workers.compute(
        [wish] { return open_file(wish); },
        [resources, callback = std::move(callback)](Result<OpenedFile> opened) {
            if (!opened) {
                return callback(opened.error());
            }
            if (!opened->direct) {
                return callback(std::unique_ptr<Drive>(std::make_unique<CachedDrive>(resources, std::move(*opened))));
            }
            Result<std::unique_ptr<AioQueue>> queue = AioQueue::create(resources.loop);
            if (!queue) {
                return callback(queue.error());
            }
            callback(std::unique_ptr<Drive>(std::make_unique<AioDrive>(resources, std::move(*queue), std::move(*opened))));
        });
}

}  // namespace drivebay
