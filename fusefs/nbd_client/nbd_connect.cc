#include "fusefs/nbd_client/nbd_connect.h"

#include <fmt/format.h>

#include <cerrno>

namespace drivebay {

namespace {

constexpr std::uint32_t largest_block = 64 * 1024;

}  // namespace

Result<NbdConnected> connect_nbd(const std::string& uri, std::string_view suffix, const NbdPatience& patience) {
    const std::string asked = with_export_suffix(uri, suffix);
    // The sentence names the drive, not the attempt, so that the same trouble reads the same.
    const auto told = [&](Error error) {
        if (const auto at = error.message.find(asked); at != std::string::npos) {
            error.message.replace(at, asked.size(), uri);
        }
        return error;
    };
    Result<NbdNegotiation> negotiation = NbdNegotiation::begin(asked, patience);
    if (!negotiation) {
        return told(negotiation.error());
    }
    Result<NbdExport> description = negotiation->go();
    if (!description) {
        return told(description.error());
    }
    return NbdConnected{negotiation->take(), *description};
}

Status check_nbd_export(const NbdDriveSettings& settings, const NbdExport& found) {
    const std::uint64_t size = found.geometry.size;
    const std::uint32_t block = found.minimum_block;
    if (size == 0 || size % 512 != 0) {
        return Error{EINVAL, fmt::format("{}: the export has {} bytes; a drive's size is a multiple of 512, and not 0",
                                         settings.uri, size)};
    }
    if (block > largest_block || (block & (block - 1)) != 0 || size % block != 0) {
        return Error{EINVAL, fmt::format("{}: the server wants blocks of {} bytes, which does not fit its {} bytes",
                                         settings.uri, block, size)};
    }
    if (found.geometry.read_only && !settings.read_only && settings.reconnect == Reconnect::plain) {
        return Error{EROFS, fmt::format("{}: the server exports it read-only: add --read-only", settings.uri)};
    }
    return success();
}

}  // namespace drivebay
