// The management module's catalogue: blades/<blade>/<drive> over the admitted views, drives/<drive> over leases of the
// pseudo-blade @local, which are asked of the arbiter at the first open and given back at the last close. Loop thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/served_drives.h"
#include "fusefs/engine/view.h"

namespace drivebay {

// Who asks the arbiter. Loop thread; callbacks come on it, later.
class LocalLeases {
public:
    virtual ~LocalLeases() = default;
    // The epoch is admitted, durably and on the loop's side, when the callback comes. EBUSY: another blade's lease
    // forbids it. EHOSTUNREACH: no arbiter answers.
    virtual void acquire(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback) = 0;
    // `released`: fenced, durably, and the arbiter was told as far as it can be reached.
    virtual void release(const std::string& drive, Epoch epoch, std::function<void()> released) = 0;
};

class ManagementCatalogue final : public Catalogue {
public:
    ManagementCatalogue(ServedDrives& drives, LocalLeases& leases);
    // After the last view handed out has gone.
    ~ManagementCatalogue() override;

    void list_blades(std::function<void(std::vector<std::string>)> callback) override;
    void list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) override;
    void look_up(const std::string& blade, const DriveReference& name,
                 std::function<void(Result<ViewInfo>)> callback) override;
    void open(const std::string& blade, const DriveReference& name, Mode mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override;
    // Of a local lease that another process of this program took for its open files: as held. Of a blade's nothing needs
    // to be held: what was answered is on the drive.
    std::shared_ptr<void> hold(const std::string& blade, const DriveReference& name) override;

private:
    using OpenCallback = std::function<void(Result<std::shared_ptr<View>>)>;
    struct Waiting {
        Mode mode = Mode::read;
        OpenCallback callback;
    };
    // The one lease of a drive that all its local handles share.
    struct LocalUse {
        enum class State { acquiring, held, releasing } state = State::acquiring;
        Mode mode = Mode::read;
        Epoch epoch = 0;
        std::uint64_t handles = 0;
        std::list<Waiting> waiting;
    };

    // Waits until the drive is settled; then a view, or why there is none.
    void find_view(const std::string& blade, const DriveReference& name,
                   std::function<void(Result<std::shared_ptr<AdmittedView>>)> callback);
    Result<std::shared_ptr<AdmittedView>> admitted_view(const std::string& blade, const DriveReference& name);
    Result<ViewInfo> local_info(const DriveReference& name);
    void open_local(const DriveReference& name, Mode mode, OpenCallback callback);
    void acquire(const std::string& drive, Mode mode);
    void acquired(const std::string& drive, Result<Epoch> epoch);
    void watch_end(const std::string& drive, Epoch epoch);
    void serve_waiting(const std::string& drive);
    void release(const std::string& drive);
    void local_closed(const std::string& drive, Epoch epoch);
    static std::shared_ptr<View> handle(std::shared_ptr<AdmittedView> view, std::function<void()> closed);

    ServedDrives& drives_;
    LocalLeases& leases_;
    std::map<std::string, LocalUse> local_;
};

}  // namespace drivebay
