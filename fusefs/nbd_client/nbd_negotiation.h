// Connecting to an NBD server and asking it for its exports: everything of the protocol before the first request
// (NBD doc/proto.md, "Fixed newstyle negotiation"). All of it blocks, so it runs on a worker; the loop gets a handle
// that is ready for requests. libnbd's handles may change threads, not be used by two at once.
#pragma once

#include <libnbd.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fusefs/engine/drive.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct NbdHandleCloser {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
using NbdHandle = std::unique_ptr<nbd_handle, NbdHandleCloser>;

// What a server tells of an export.
struct NbdExport {
    DriveGeometry geometry;
    std::uint32_t minimum_block = 1;          // offsets and lengths on the wire are multiples of it
    std::uint32_t maximum_payload = 1 << 20;  // of one read or write on the wire
    bool can_flush = false;
    bool can_fua = false;
    bool can_trim = false;
    bool can_zero = false;
    bool can_cache = false;
    bool can_block_status = false;  // base:allocation is negotiated
    // From the description, where the server is a drivebayfs (doc/PROTOCOL.md, Names); else empty and 0.
    std::string boot_id;
    Epoch epoch = 0;
    DriveKind kind = DriveKind::disk;
};

// Reads `drivebay boot=… epoch=… [kind=…]` into `into`; any other text leaves it as it is.
void read_description(std::string_view text, NbdExport& into);

// EINVAL with a sentence unless `uri` is of a scheme that a drive may have: nbd://, nbds://, nbd+unix://.
Status check_nbd_uri(const std::string& uri);

// `text` as one part of a URI's path: everything but unreserved characters and '/' is escaped.
std::string uri_escape(std::string_view text);

// `uri` with `suffix` (escaped) behind its export name.
std::string with_export_suffix(const std::string& uri, std::string_view suffix);

// A management module's drivebayfs that was killed serves again within this.
inline constexpr Duration restart_limit = std::chrono::seconds(2);
constexpr bool is_restarting(int code) { return code == ECONNREFUSED || code == ECONNRESET; }

struct NbdPatience {
    Instant connect_until;    // for the connection itself
    Instant handshake_until;  // for all of it
    // Looked at every 50 ms: true ends the attempt with ECANCELED.
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

// One connection during its negotiation.
class NbdNegotiation {
public:
    // Errors: never ENOENT, which is left to mean an export that does not exist.
    static Result<NbdNegotiation> begin(const std::string& uri, NbdPatience patience);

    // The names of NBD_OPT_LIST.
    Result<std::vector<std::string>> list();
    // NBD_OPT_INFO. ENOENT: no such export.
    Result<NbdExport> info(const std::string& export_name);
    // NBD_OPT_GO with the export of the URI. ENOENT: no such export.
    Result<NbdExport> go();
    // Says goodbye (NBD_OPT_ABORT), so that the server need not wonder; for a negotiation that is not to lead to go().
    void end();
    // After go(): the connection, ready for requests. A cut link is noticed after some 4 s (TCP_USER_TIMEOUT,
    // keepalive).
    NbdHandle take();

private:
    NbdNegotiation(NbdHandle handle, std::string uri, NbdPatience patience);
    Status wait(Instant until);
    Result<NbdExport> read_export();
    Error failure(int code, const std::string& what) const;

    NbdHandle handle_;
    std::string uri_;
    NbdPatience patience_;
};

}  // namespace drivebay
