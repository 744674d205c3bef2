// The management module's side put together: the durable table, the drives, the views with their gates, the NBD
// exports and the link to the arbiter.
//
// Threads: the table (SQLite) and the arbiter's link live on the reactor's thread, the rest on the loop's; the two speak
// by post() only. A program does this:
//     EventLoop loop; rpc::Reactor reactor; DataPath data_path(loop, reactor, settings);
//     data_path.start();                     // a sentence if the table or a listener cannot be had
//     std::thread control([&] { reactor.run(); });
//     … a front over data_path.catalogue() …; loop.run();
//     // to end it: loop.post → data_path.stop([&] { loop.stop(); reactor.stop(); }); join; destroy.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/control/drain_service.h"
#include "fusefs/engine/admission_plan.h"
#include "fusefs/engine/view.h"
#include "fusefs/engine/drive_policies.h"
#include "fusefs/loop/event_loop.h"
#include "lib/tls/context.h"
#include "lib/base/result.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/reactor.h"

namespace drivebay {

struct DataPathSettings {
    std::string state_dir;                     // exists, writable; holds table.db
    rpc::Endpoint arbiter;                     // its Unix socket; need not be there (static stability)
    std::vector<rpc::Endpoint> nbd_listeners;  // TCP addresses and Unix sockets
    std::size_t nbd_connections = 1024;        // at most so many at once
    bool trust_reconnect = false;              // of remote drives: repeat unanswered writes on a stranger's server
    DrivePolicies policies;
    tls::Files tls;                            // no certificate: no TLS
    bool tls_required = true;                  // of NBD clients that come by TCP
    // Where the arbiter keeps the module's certificate, its authority and the list of revoked ones. TCP clients are then
    // blades with certificates; until the files are there, there are no TCP listeners. Empty: `tls` says who is believed.
    std::string pki;
    LocalEpochs open_here;                     // local leases that an earlier process took for files still open
};

class DataPath {
public:
    DataPath(EventLoop& loop, rpc::Reactor& reactor, DataPathSettings settings);
    // After both threads have ended.
    ~DataPath();
    DataPath(const DataPath&) = delete;
    DataPath& operator=(const DataPath&) = delete;

    // Loads the table, binds the listeners, and begins to open what the table admits; before either thread runs.
    Status start();

    // Loop thread. What the table admits and the source can be opened for is there as soon as the loop runs: a look-up
    // waits while a drive is still being opened.
    Catalogue& catalogue();
    DrainSource& drain_source();

    // Loop thread. Ends listeners and connections, closes the gates, waits until nothing is in flight, flushes what could
    // be written and closes the drives; admissions stay in the table. Then `stopped` runs. Handles still open get
    // ESHUTDOWN.
    void stop(std::function<void()> stopped);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace drivebay
