// All drives of the table, on the loop's side. It is given the whole table after each commit and reports what there is;
// losing, repeating or reordering neither does harm. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/drive_probe.h"
#include "fusefs/engine/served_drive.h"
#include "lib/protocol/messages.h"

namespace drivebay {

// What the arbiter is told, less what only the table knows (the fenced, the version).
struct ServedReport {
    std::vector<protocol::ObservedDrive> drives;
    std::vector<Admission> open_views;
    std::vector<protocol::Counters> counters;
    bool operator==(const ServedReport&) const = default;
};

class ServedDrives {
public:
    struct Settings {
        std::string boot_id;
        bool trust_reconnect = false;
        DrivePolicies policies;
        // Something of report() may have changed; called at most once a round.
        std::function<void()> changed;
        // These two: as ServedContext's.
        std::function<void(const protocol::Fenced&)> fenced;
        std::function<void(const std::string&, std::uint64_t, bool, std::function<void(bool)>)> mark_writes;
    };
    ServedDrives(AioResources resources, Settings settings);
    // After stop() has called back.
    ~ServedDrives();
    ServedDrives(const ServedDrives&) = delete;
    ServedDrives& operator=(const ServedDrives&) = delete;

    void apply(const TableState& table);
    ServedReport report() const;
    void stop(std::function<void()> stopped);

    // Null: no such drive in the table.
    ServedDrive* find(const std::string& name);
    const std::map<std::string, std::unique_ptr<ServedDrive>>& drives() const { return drives_; }

    // doc/PROTOCOL.md, "probe". The callback comes later.
    void probe(const protocol::Probe& probe, std::function<void(protocol::Probed)> callback);

private:
    std::string conflict(const std::string& name, const MediumIdentity& identity) const;
    void note_change();

    AioResources resources_;
    ServedContext context_;
    std::function<void()> changed_;
    std::map<std::string, std::unique_ptr<ServedDrive>> drives_;
    bool change_noted_ = false;
    bool stopping_ = false;
    std::function<void()> stopped_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drivebay
