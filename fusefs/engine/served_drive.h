// One drive of the table on the loop's side: opened, its admissions opened as views, fenced, closed again, until what is
// there is what the table wants. It is told the whole wish each time and finds its own way. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fusefs/engine/admission_plan.h"
#include "fusefs/engine/admitted_view.h"
#include "fusefs/engine/medium_identity.h"
#include "fusefs/engine/open_drive.h"
#include "lib/protocol/messages.h"

namespace drivebay {

// What all drives share; outlives them.
struct ServedContext {
    AioResources resources;
    std::string boot_id;
    bool trust_reconnect = false;
    DrivePolicies policies;
    // The sentence that names another drive with the same medium; empty: there is none.
    std::function<std::string(const std::string& name, const MediumIdentity&)> conflict;
    // Writes to the remote drive `name`, opened as `generation`, are on their way from now on, or (`set` false) none is
    // any more. To be made durable; `done` comes on the loop's thread, with false if that failed.
    std::function<void(const std::string& name, std::uint64_t generation, bool set, std::function<void(bool)> done)>
        mark_writes;
    // What is reported of the drive has changed.
    std::function<void()> changed;
    // A fence is complete: nothing is in flight, and the flush was answered (or failed). To be made durable now.
    std::function<void(const protocol::Fenced&)> fenced;
};

class ServedDrive {
public:
    ServedDrive(ServedContext& context, std::string name);
    // Only when gone().
    ~ServedDrive();
    ServedDrive(const ServedDrive&) = delete;
    ServedDrive& operator=(const ServedDrive&) = delete;

    using Admissions = std::map<Epoch, AdmissionRow>;
    // The table's wish; `row` null: it is not in the table.
    void want(const DriveRow* row, Admissions admissions);

    // Ends every view, waits for what is in flight, flushes what could be written, closes. Nothing is opened after that.
    void stop();
    // Nothing is open and nothing is wanted: it can be destroyed.
    bool gone() const;

    // Runs `callback` once no opening or closing is under way: at once if none is.
    void when_settled(std::function<void()> callback);
    // Runs `callback` when the table has changed what is admitted here, once.
    void when_wanted_anew(std::function<void()> callback) { wanted_callbacks_.push_back(std::move(callback)); }
    bool settled() const { return phase_ == Phase::open || (phase_ == Phase::closed && tried_); }

    const DriveRow* row() const { return row_ ? &*row_ : nullptr; }
    const Admissions& admissions() const { return admissions_; }
    // The open view of an admission; null: not admitted, being fenced, or the drive is not open.
    std::shared_ptr<AdmittedView> view(Epoch epoch) const;
    // Those that are being drained, too.
    const std::map<Epoch, std::shared_ptr<AdmittedView>>& views() const { return views_; }

    bool is_open() const { return phase_ == Phase::open; }
    DriveGeometry geometry() const { return drive_ ? drive_->geometry() : DriveGeometry{}; }
    // The sentence that says why it cannot be used; empty: it can, or it is being opened.
    std::string failure() const;
    // Nothing while it is being opened for the first time.
    std::optional<protocol::ObservedDrive> observed() const;
    // Of the source that is open or being opened.
    const std::optional<MediumIdentity>& identity() const { return identity_; }
    // Since the drive was added, views that have ended included.
    std::vector<protocol::Counters> counters() const;

private:
    enum class Phase { closed, opening, open, closing };

    void reconcile();
    void begin_open();
    void opened(Result<std::unique_ptr<Drive>> outcome);
    void open_failed(const Error& error);
    void begin_close();
    void settle();
    void open_views();
    void begin_fence(const Admission& admission);
    void fence_drained(const Admission& admission);
    void finish_fence(const Admission& admission, bool flushed, std::string error);
    void watch_drain(const Admission& admission);
    void flush(std::function<void(int)> callback);

    ServedContext& context_;
    const std::string name_;
    std::optional<DriveRow> row_;
    Admissions admissions_;
    Phase phase_ = Phase::closed;
    bool tried_ = false;  // the present row was tried to be opened
    bool stopping_ = false;
    protocol::TableDrive opened_as_;
    std::unique_ptr<Drive> drive_;
    DriveScheduler scheduler_;
    std::optional<MediumIdentity> identity_;
    std::string open_error_;
    EventLoop::TimerId retry_ = 0;
    std::map<Epoch, std::shared_ptr<AdmittedView>> views_;
    std::set<Epoch> fencing_;  // begun, until the table has forgotten the admission
    std::map<Epoch, EventLoop::TimerId> drain_watches_;
    std::map<std::string, protocol::Counters> past_counters_;  // by blade
    std::vector<std::function<void()>> settled_callbacks_;
    std::vector<std::function<void()>> wanted_callbacks_;
    unsigned busy_ = 0;  // fences and flushes that have this drive in their hands
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drivebay
