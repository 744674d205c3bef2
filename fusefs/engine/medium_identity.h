// One medium, one name: what a source really is, so that the same bytes are never shared as two drives with two leases.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

namespace drivebay {

// One thing that a source consists of. `backing`: it lies on it together with others (a logical volume on its disks), so
// two that share it are not one medium, but it and the thing itself are.
struct MediumPart {
    enum class Kind { file, disk, uri } kind = Kind::file;
    bool backing = false;
    dev_t device = 0;            // file: of its file system; disk: of the whole disk
    ino_t inode = 0;             // file
    std::uint64_t begin = 0;          // file, disk: first sector of 512 bytes
    std::uint64_t end = UINT64_MAX;   // file, disk: one past the last
    std::string uri;             // uri: normalised
    bool operator==(const MediumPart&) const = default;
};

struct MediumIdentity {
    std::vector<MediumPart> parts;
    bool operator==(const MediumIdentity&) const = default;
};

// Whether the two share bytes. Pure.
bool overlaps(const MediumIdentity& one, const MediumIdentity& other);

// True for what has a scheme ("nbd://…"); everything else is a path.
bool is_uri(std::string_view source);

// An NBD URI (the NBD project's doc/uri.md) in one spelling: without credentials, fragment and TLS or not, the host in
// lower case, the default port written out, the export name decoded, the query sorted. EINVAL for other schemes.
Result<std::string> normalised_uri(std::string_view uri);

// Looks at the source without opening it. Follows symbolic links; of block devices it reads /sys: partitions, the file
// behind a loop device, the disks under dm and md. May block (a hung network file system): not on the loop's thread.
Result<MediumIdentity> identify_medium(const std::string& source);

}  // namespace drivebay
