#include "gadgetd/lun.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>

#include "gadgetd/attribute.h"

namespace drivebay::gadgetd {

namespace {

// include/linux/errno.h, ETOOSMALL: what fsg_lun_open() gives for less than one block (or 300 of a CD's). Not known to
// libc, and yet it comes through write(2) as it is.
constexpr int too_small = 525;

bool is_fuse_mount(const std::string& path) {
    struct statfs facts {};
    return statfs(path.c_str(), &facts) == 0 && static_cast<unsigned long>(facts.f_type) == FUSE_SUPER_MAGIC;
}

}  // namespace

std::string inquiry_string(const std::string& drive) {
    return fmt::format("{:<8.8}{:<16.16}{:<4.4}", "drivebay", drive, "0100");
}

LunReading Lun::file() const {
    return read_attribute(attribute("file"));
}

Status Lun::insert(const Insert& order) const {
    LunReading before = file();
    if (!before) {
        return before.error();
    }
    if (!before->empty()) {
        return Error{EBUSY, fmt::format("cannot insert {}: the LUN still holds {}", order.drive, *before)};
    }
    // ro after cdrom: setting cdrom sets ro too, and clearing it leaves ro as it is.
    for (auto [name, value] : {std::pair<const char*, std::string>{"cdrom", order.cdrom ? "1" : "0"},
                               {"ro", order.read_only ? "1" : "0"},
                               {"inquiry_string", inquiry_string(order.drive)}}) {
        if (Status written = write_attribute(attribute(name), value); !written) {
            return written;
        }
    }
    std::string path = fmt::format("{}/{}@{}", mount_, order.drive, order.epoch);
    if (Status written = write_attribute(attribute("file"), path); !written) {
        return explain(order, written.error());
    }
    if (!order.read_only) {
        // fsg_lun_open() falls back to read-only by itself when it may not write.
        Result<std::string> read_only = read_attribute(attribute("ro"));
        if (!read_only || *read_only != "0") {
            (void)eject(true);
            return Error{EROFS,
                         fmt::format("{} could not be opened for writing: {} is read-only here", order.drive, path)};
        }
    }
    return success();
}

Status Lun::eject(bool force) const {
    return force ? write_attribute(attribute("forced_eject"), "1") : write_attribute(attribute("file"), "");
}

Error Lun::explain(const Insert& order, const Error& failure) const {
    std::string path = fmt::format("{}/{}@{}", mount_, order.drive, order.epoch);
    switch (failure.code) {
        case ENOENT:
            if (!is_fuse_mount(mount_)) {
                return {ENOENT, fmt::format("{} cannot be inserted: drivebayfs is not mounted at {} (try: mount {})",
                                            order.drive, mount_, mount_)};
            }
            return {ENOENT, fmt::format("{} cannot be inserted: {} does not exist, so epoch {} is not, or no longer, "
                                        "admitted to this blade",
                                        order.drive, path, order.epoch)};
        case ENOTCONN:
        case ECONNABORTED:
            return {failure.code, fmt::format("{} cannot be inserted: the drivebayfs that was mounted at {} has died "
                                              "(try: umount -l {} and mount {})",
                                              order.drive, mount_, mount_, mount_)};
        case EISDIR:
            return {EISDIR, fmt::format("{} cannot be inserted: {} is a folder, not a drive", order.drive, path)};
        case too_small:
            return {too_small, fmt::format("{} cannot be inserted: it is smaller than {}", order.drive,
                                           order.cdrom ? "a CD-ROM can be (300 blocks of 2048 bytes)" : "one block")};
        case EINVAL:
            return {EINVAL,
                    fmt::format("{} cannot be inserted: the kernel takes {} for neither a file nor a block device",
                                order.drive, path)};
        case EBUSY: return {EBUSY, fmt::format("{} cannot be inserted: the LUN is in use", order.drive)};
        case EROFS:
        case EACCES:
        case EPERM:
            return {failure.code, fmt::format("{} cannot be inserted: {} may not be opened (error {})", order.drive,
                                              path, failure.code)};
        default:
            return system_error(failure.code,
                                fmt::format("{} cannot be inserted: opening {} failed", order.drive, path));
    }
}

}  // namespace drivebay::gadgetd
