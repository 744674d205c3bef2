// NBD export names over a Catalogue: `<blade>/<drive>[@<epoch>[#<instance>]]` (doc/PROTOCOL.md, "Names"), the reconnect
// barrier, and who may see what. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "fusefs/engine/view.h"
#include "fusefs/nbd_server/instance_barrier.h"
#include "fusefs/nbd_server/nbd_handshake.h"
#include "lib/base/denials.h"
#include "lib/base/result.h"

namespace drivebay::nbd {

// Who is at the other end.
struct NbdPeer {
    bool local = false;   // came by a Unix socket
    std::string address;  // for people
    std::string identity; // of a verified certificate; empty: none was asked for
    std::string serial;   // that certificate's
    std::string blade;    // whose exports alone there are for it; empty: there are all
};

// What a connection must do for the barrier.
class BarrierMember {
public:
    virtual ~BarrierMember() = default;
    // Read no more requests; report ended() once nothing is in flight.
    virtual void shut(const std::string& why) = 0;
};

class Exports {
public:
    // Both outlive it; it outlives every callback that it gave to the catalogue.
    Exports(Catalogue& catalogue, Denials& denials) : catalogue_(catalogue), denials_(denials) {}
    Exports(const Exports&) = delete;
    Exports& operator=(const Exports&) = delete;

    using Connection = InstanceBarrier::Connection;

    void list(const NbdPeer& peer, std::function<void(std::vector<std::string>)> callback);
    void look_up(const NbdPeer& peer, const std::string& name, std::function<void(Result<ViewInfo>)> callback);
    // Opens the export with its admission's mode. With an instance, the callback waits for the lower ones to end; it
    // comes with EBUSY if a still higher one overtakes it. `member` is forgotten by ended().
    void open(const NbdPeer& peer, const std::string& name, Connection connection, BarrierMember& member,
              std::function<void(Result<std::shared_ptr<View>>)> callback);
    // To be told of each connection that has asked to open, when it has gone and nothing of it is in flight.
    void ended(Connection connection);

    static ExportDescription describe(const ViewInfo& info);

private:
    using OpenCallback = std::function<void(Result<std::shared_ptr<View>>)>;
    using Key = std::tuple<std::string, std::string, Epoch>;  // drive, blade, epoch
    struct Guest {
        Key key;
        BarrierMember* member = nullptr;
        std::shared_ptr<View> view;  // while it waits
        OpenCallback callback;
    };
    struct ExportName {
        std::string blade;
        DriveReference drive;
    };
    static Result<ExportName> parse(const std::string& name);
    // To whoever may not see it, an export is as one that does not exist.
    static bool may_see(const NbdPeer& peer, const std::string& blade);
    bool may_have(const NbdPeer& peer, const std::string& blade, const std::string& name);
    void pass_barrier(const Key& key, std::uint64_t instance, Connection connection, BarrierMember& member,
                      std::shared_ptr<View> view, OpenCallback callback);
    void close_barrier(const Key& key);

    Catalogue& catalogue_;
    Denials& denials_;
    std::map<Key, InstanceBarrier> barriers_;
    std::map<Connection, Guest> guests_;
    // Those whose opening is under way: one that has ended meanwhile is not let in afterwards.
    std::set<Connection> opening_;
};

}  // namespace drivebay::nbd
