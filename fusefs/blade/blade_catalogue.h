// A blade's drives: the views that the management module exports to it. Its directory is asked for each time
// (ManagementExports); what is open is one connection for each (drive, epoch), shared by its open files, flushed and
// closed after the last of them (BladeDrive). Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fusefs/blade/blade_view.h"
#include "fusefs/blade/management_exports.h"
#include "fusefs/control/drain_service.h"
#include "fusefs/engine/view.h"
#include "lib/rpc/endpoint.h"

namespace drivebay {

struct BladeSettings {
    std::string blade;
    rpc::Endpoint management;  // its NBD listener
    std::string certificates;  // folder with whom to trust (ca-cert.pem), and who this is; empty: no TLS
    Duration pause_limit = std::chrono::seconds(8);
    Duration ask_limit = std::chrono::seconds(5);  // for a look-up or a listing
};

class BladeCatalogue final : public Catalogue, public DrainSource {
public:
    // `kept` outlives every view.
    BladeCatalogue(EventLoop& loop, KeptLayout& kept, BladeSettings settings);
    // After stop() has called back, and every view is gone.
    ~BladeCatalogue() override;

    void list_blades(std::function<void(std::vector<std::string>)> callback) override;
    void list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) override;
    void look_up(const std::string& blade, const DriveReference& name,
                 std::function<void(Result<ViewInfo>)> callback) override;
    // A plain name means the epoch that the management module names now; the view stays with it.
    void open(const std::string& blade, const DriveReference& name, Mode mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override;
    std::shared_ptr<void> hold(const std::string& blade, const DriveReference& name) override;

    // An epoch that this process has not seen is settled: one connection as the next instance makes the server complete
    // what an earlier process of this blade left there, then a FLUSH is answered. Unknown if the epoch is over, or nothing
    // is known here of an epoch with write access.
    void drain(const std::string& drive, const std::string& blade, Epoch epoch,
               std::function<void(DrainAnswer)> callback) override;
    // An open file whose view is still to come is told as offline: who missed it would take its epoch for ended.
    ServiceStatus status() override;

    // After `limit` what was answered early and could not be sent is given up, and nothing is flushed any more: for a program
    // that ends. Nothing is opened from then on.
    void give_up_after(Duration limit);
    // Flushes and closes what no view holds any more, then calls back.
    void stop(std::function<void()> stopped);

private:
    using Key = std::pair<std::string, Epoch>;
    struct Open {
        std::shared_ptr<BladeDrive> drive;
        std::vector<std::function<void(DrainAnswer)>> drains;
        // Asked for while the connection before was being closed.
        std::vector<std::function<void()>> after;
    };

    Open& entry(const Key& key);
    void let_go(const Key& key);
    void open_epoch(const Key& key, Mode mode, std::function<void(Result<std::shared_ptr<View>>)> callback);
    void closed(const Key& key, DrainAnswer answer);

    EventLoop& loop_;
    const BladeSettings settings_;
    ManagementExports exports_;
    KeptEpochs epochs_;
    bool giving_up_ = false;
    std::map<Key, Open> open_;
    // Open files whose view is still to come, and who waits for them.
    struct Held {
        std::uint64_t files = 0;
        std::vector<std::function<void()>> drains;
    };
    std::map<Key, Held> held_;
    // What became of those that were closed, the latest last; as many as a slow gadgetd can ever ask for.
    std::deque<std::pair<Key, DrainAnswer>> past_;
    std::function<void()> stopped_;
};

}  // namespace drivebay
