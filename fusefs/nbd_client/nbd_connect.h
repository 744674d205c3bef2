// One attempt to reach a drive's export, and what an export must be to serve as a drive.
#pragma once

#include <string>
#include <string_view>

#include "fusefs/nbd_client/nbd_drive.h"
#include "fusefs/nbd_client/nbd_negotiation.h"
#include "lib/base/result.h"

namespace drivebay {

struct NbdConnected {
    NbdHandle handle;  // ready for requests
    NbdExport description;
};

// Blocks: for a worker. `suffix` goes behind the export's name (`#<instance>`); it is not in the sentence of an error,
// so that the same trouble always reads the same. Errors as NbdNegotiation's.
Result<NbdConnected> connect_nbd(const std::string& uri, std::string_view suffix, const NbdPatience& patience);

// EINVAL: no drive can be so. EROFS: (Reconnect::plain) it was to be written and is read-only.
Status check_nbd_export(const NbdDriveSettings& settings, const NbdExport& found);

}  // namespace drivebay
