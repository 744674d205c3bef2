// One LUN of f_mass_storage, by its configfs folder (functions/mass_storage.X/lun.N;
// drivers/usb/gadget/function/f_mass_storage.c and storage_common.c). Every call may block while an I/O of this LUN
// hangs: call on the slot's worker only.
#pragma once

#include <string>

#include "gadgetd/gadget_events.h"
#include "lib/base/result.h"

namespace drivebay::gadgetd {

// What the host reads as the drive's maker, model and revision: "drivebay", the drive's name cut to 16 bytes, "0100".
// 28 bytes, padded with spaces (SPC, standard INQUIRY data).
std::string inquiry_string(const std::string& drive);

class Lun {
public:
    // `mount`: where drivebayfs serves this blade's drives.
    Lun(std::string folder, std::string mount) : folder_(std::move(folder)), mount_(std::move(mount)) {}

    LunReading file() const;
    // The whole sequence into an empty LUN: cdrom, ro, inquiry_string, file; a writer that the kernel has opened
    // read-only behind our back is put out again (EROFS).
    Status insert(const Insert& order) const;
    // EBUSY, not by force: the host has locked the door. Success does not say that the kernel has closed the file:
    // it does that later, by itself, without looking at errors.
    Status eject(bool force) const;

private:
    std::string attribute(const char* name) const { return folder_ + "/" + name; }
    Error explain(const Insert& order, const Error& failure) const;

    std::string folder_;
    std::string mount_;
};

}  // namespace drivebay::gadgetd
