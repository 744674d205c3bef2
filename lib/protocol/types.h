// The words of doc/PROTOCOL.md that every program uses.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drivebay {

using Epoch = std::uint64_t;  // 0: none
using Term = std::uint64_t;

enum class Mode { read, write };
enum class DriveKind { disk, cdrom };

std::string_view to_string(Mode mode);
std::string_view to_string(DriveKind kind);
std::optional<Mode> parse_mode(std::string_view text);
std::optional<DriveKind> parse_drive_kind(std::string_view text);

// f_mass_storage cuts a CD-ROM image silently after this many 2048-byte blocks
// (drivers/usb/gadget/function/storage_common.c, fsg_lun_open: 256 * 60 * 75 - 1).
inline constexpr std::uint64_t cdrom_block_size = 2048;
inline constexpr std::uint64_t largest_cdrom = 1151999 * cdrom_block_size;
inline constexpr std::uint64_t smallest_cdrom = 300 * cdrom_block_size;

// The right of one blade to one drive for one epoch, as the data path admits it.
struct Admission {
    std::string drive;
    std::string blade;
    Mode mode = Mode::read;
    Epoch epoch = 0;

    auto operator<=>(const Admission&) const = default;
};

// `<drive>[@<epoch>[#<instance>]]`, as in file names and NBD exports. epoch 0: the one admitted now.
struct DriveReference {
    std::string drive;
    Epoch epoch = 0;
    std::uint64_t instance = 0;
};

// Nothing where the text has not that form, a number overflows, or is zero.
std::optional<DriveReference> parse_drive_reference(std::string_view text);

}  // namespace drivebay
