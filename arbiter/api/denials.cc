#include "arbiter/api/denials.h"

#include <fmt/format.h>

#include "lib/base/log.h"

namespace drivebay::arbiter {

void Denials::note(const rpc::Peer& peer, const std::string& identity, const std::string& asked, const std::string& reason) {
    const Instant now = BootClock::now();
    if (now >= since_ + within) {
        since_ = now;
        noted_ = 0;
        kinds_.clear();
    }
    const bool is_new = kinds_.size() < most_kinds && kinds_.insert(identity + " " + reason).second;
    if (++noted_ > most && !is_new) {
        ++unnoted_;
        return;
    }
    std::string detail = fmt::format("{} ({}) asked for {}: {}", identity.empty() ? "nobody known" : identity, peer.address,
                                     log::quoted(asked.substr(0, 200)), reason);
    if (const std::uint64_t more = std::exchange(unnoted_, 0); more > 0) {
        detail += fmt::format("; {} more were denied before, too fast to be told", more);
    }
    log::notice("denied", {{"peer", peer.address}, {"identity", identity}, {"asked", asked.substr(0, 200)}, {"reason", reason}});
    AuditEntry entry;
    entry.event = "denied";
    entry.detail = detail;
    arbiter_.note(std::move(entry));
}

}  // namespace drivebay::arbiter
