// What a source is, before it becomes a drive: disk or CD-ROM, writable or not, and whether it can be opened so at all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "fusefs/engine/open_drive.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct KindVerdict {
    DriveKind kind = DriveKind::disk;
    bool read_only = false;
    std::string notice;  // why it is not quite what was asked for; empty: it is
    bool operator==(const KindVerdict&) const = default;
};

// `asked`: nothing means auto. `iso9660`: the volume descriptor's magic is there (ECMA-119, 8.1: "CD001" in sector 16).
// EINVAL with a sentence for what cannot be shown as asked. Pure.
Result<KindVerdict> judge_kind(std::uint64_t size, bool iso9660, std::optional<DriveKind> asked, bool read_only);

// Why hosts will not find the partitions of a disk that begins with `beginning` (at least two sectors of 4096 bytes, or
// all there is); empty: nothing is wrong with it. A host sees blocks of 512 bytes on every disk (f_mass_storage shows a
// file so), and a GUID partition table that was written for 4096 has its header in byte 4096 instead of 512 (UEFI 2.10, 5.3).
std::string table_notice(std::string_view beginning);

struct ProbedDrive {
    std::uint64_t size = 0;
    KindVerdict verdict;
};

// Opens `wish.source` as a drive would be opened, looks, and closes it. Loop thread; the callback comes on it, later.
void probe_drive(AioResources resources, const OpenWish& wish, std::optional<DriveKind> asked,
                 std::function<void(Result<ProbedDrive>)> callback);

}  // namespace drivebay
