#include "fusefs/engine/management_catalogue.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay {

namespace {

Error no_such_drive(const DriveReference& name) {
    return Error{ENOENT, "there is no drive " + log::quoted(name.drive) +
                             (name.epoch == 0 ? std::string() : " of epoch " + std::to_string(name.epoch))};
}

Error not_working(const ServedDrive& drive, const std::string& name) {
    const std::string why = drive.failure();
    return Error{EIO, "the drive " + log::quoted(name) + " cannot be used" + (why.empty() ? why : ": " + why)};
}

// A local lease that a process before this one was giving back: the arbiter grants no other beside it.
bool is_ending(const ServedDrive& drive) {
    return std::ranges::any_of(drive.admissions(), [](const auto& entry) {
        return entry.second.revoking && entry.second.admission.blade == local_blade;
    });
}

}  // namespace

ManagementCatalogue::ManagementCatalogue(ServedDrives& drives, LocalLeases& leases) : drives_(drives), leases_(leases) {}

ManagementCatalogue::~ManagementCatalogue() = default;

void ManagementCatalogue::list_blades(std::function<void(std::vector<std::string>)> callback) {
    std::set<std::string> blades;
    for (const auto& [name, drive] : drives_.drives()) {
        for (const auto& [epoch, view] : drive->views()) {
            if (!view->ended() && view->info().admission.blade != local_blade) {
                blades.insert(view->info().admission.blade);
            }
        }
    }
    callback({blades.begin(), blades.end()});
}

void ManagementCatalogue::list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) {
    std::vector<ViewInfo> found;
    for (const auto& [name, drive] : drives_.drives()) {
        if (blade.empty()) {
            if (Result<ViewInfo> info = local_info({name, 0, 0})) {
                found.push_back(std::move(*info));
            }
            continue;
        }
        for (const auto& [epoch, view] : drive->views()) {
            if (!view->ended() && view->info().admission.blade == blade) {
                found.push_back(view->info());
            }
        }
    }
    callback(std::move(found));
}

Result<std::shared_ptr<AdmittedView>> ManagementCatalogue::admitted_view(const std::string& blade,
                                                                        const DriveReference& name) {
    const ServedDrive* const drive = drives_.find(name.drive);
    if (drive == nullptr || blade == local_blade) {
        return no_such_drive(name);
    }
    for (const auto& [epoch, row] : drive->admissions()) {
        if (row.admission.blade != blade || row.revoking || (name.epoch != 0 && name.epoch != epoch)) {
            continue;
        }
        if (std::shared_ptr<AdmittedView> view = drive->view(epoch)) {
            return view;
        }
        return not_working(*drive, name.drive);
    }
    return no_such_drive(name);
}

void ManagementCatalogue::find_view(const std::string& blade, const DriveReference& name,
                                    std::function<void(Result<std::shared_ptr<AdmittedView>>)> callback) {
    Result<std::shared_ptr<AdmittedView>> view = admitted_view(blade, name);
    ServedDrive* const drive = drives_.find(name.drive);
    if (view || view.error().code == ENOENT || drive == nullptr || drive->settled()) {
        return callback(std::move(view));
    }
    drive->when_settled(
        [this, blade, name, callback = std::move(callback)] { callback(admitted_view(blade, name)); });
}

Result<ViewInfo> ManagementCatalogue::local_info(const DriveReference& name) {
    const ServedDrive* const drive = drives_.find(name.drive);
    if (drive == nullptr || drive->row() == nullptr || !drive->row()->listed) {
        return no_such_drive(name);
    }
    const auto use = local_.find(name.drive);
    const Epoch held = use != local_.end() && use->second.state == LocalUse::State::held ? use->second.epoch : 0;
    if (name.epoch != 0 && name.epoch != held) {
        return no_such_drive(name);
    }
    if (!drive->is_open()) {
        return not_working(*drive, name.drive);
    }
    ViewInfo info;
    info.geometry = drive->geometry();
    info.kind = drive->row()->drive.kind;
    info.admission = {name.drive, std::string(local_blade), info.geometry.read_only ? Mode::read : Mode::write, held};
    return info;
}

void ManagementCatalogue::look_up(const std::string& blade, const DriveReference& name,
                                  std::function<void(Result<ViewInfo>)> callback) {
    if (!blade.empty()) {
        return find_view(blade, name, [callback = std::move(callback)](Result<std::shared_ptr<AdmittedView>> view) {
            callback(view ? Result<ViewInfo>((*view)->info()) : Result<ViewInfo>(view.error()));
        });
    }
    Result<ViewInfo> info = local_info(name);
    ServedDrive* const drive = drives_.find(name.drive);
    if (info || info.error().code == ENOENT || drive == nullptr || drive->settled()) {
        return callback(std::move(info));
    }
    drive->when_settled([this, name, callback = std::move(callback)] { callback(local_info(name)); });
}

std::shared_ptr<View> ManagementCatalogue::handle(std::shared_ptr<AdmittedView> view, std::function<void()> closed) {
    View* const bare = view.get();
    view->handle_opened();
    return std::shared_ptr<View>(bare, [view = std::move(view), closed = std::move(closed)](View*) {
        view->handle_closed();
        if (closed) {
            closed();
        }
    });
}

void ManagementCatalogue::open(const std::string& blade, const DriveReference& name, Mode mode, OpenCallback callback) {
    if (blade.empty()) {
        return look_up(blade, name, [this, name, mode, callback = std::move(callback)](Result<ViewInfo> info) {
            if (!info) {
                return callback(info.error());
            }
            if (mode == Mode::write && info->geometry.read_only) {
                return callback(Error{EROFS, "the drive " + log::quoted(name.drive) + " is read-only"});
            }
            open_local(name, mode, callback);
        });
    }
    find_view(blade, name, [name, mode, callback = std::move(callback)](Result<std::shared_ptr<AdmittedView>> view) {
        if (!view) {
            return callback(view.error());
        }
        if (mode == Mode::write && (*view)->info().admission.mode != Mode::write) {
            return callback(Error{EROFS, "the lease of " + log::quoted(name.drive) + " is for reading"});
        }
        callback(handle(std::move(*view), nullptr));
    });
}

void ManagementCatalogue::open_local(const DriveReference& name, Mode mode, OpenCallback callback) {
    const auto [entry, is_new] = local_.try_emplace(name.drive);
    LocalUse& use = entry->second;
    if (is_new) {
        use.waiting.push_back({mode, std::move(callback)});
        return acquire(name.drive, mode);
    }
    if (use.state != LocalUse::State::held) {
        use.waiting.push_back({mode, std::move(callback)});
        return;
    }
    if (mode == Mode::write && use.mode == Mode::read) {
        return callback(Error{EBUSY, "the drive " + log::quoted(name.drive) +
                                         " is open for reading on this machine; close that first"});
    }
    const ServedDrive* const drive = drives_.find(name.drive);
    std::shared_ptr<AdmittedView> view = drive == nullptr ? nullptr : drive->view(use.epoch);
    if (!view) {
        return callback(drive == nullptr ? no_such_drive(name) : not_working(*drive, name.drive));
    }
    ++use.handles;
    callback(handle(std::move(view), [this, drive_name = name.drive, epoch = use.epoch] {
        local_closed(drive_name, epoch);
    }));
}

void ManagementCatalogue::acquire(const std::string& drive, Mode mode) {
    LocalUse& use = local_.at(drive);
    use.state = LocalUse::State::acquiring;
    use.mode = mode;
    if (ServedDrive* const served = drives_.find(drive); served != nullptr && is_ending(*served)) {
        return served->when_wanted_anew([this, drive, mode] { acquire(drive, mode); });
    }
    leases_.acquire(drive, mode, [this, drive](Result<Epoch> epoch) { acquired(drive, std::move(epoch)); });
}

void ManagementCatalogue::acquired(const std::string& drive, Result<Epoch> epoch) {
    LocalUse& use = local_.at(drive);
    if (!epoch) {
        std::list<Waiting> waiting = std::move(use.waiting);
        local_.erase(drive);
        for (const Waiting& waiter : waiting) {
            waiter.callback(epoch.error());
        }
        return;
    }
    use.state = LocalUse::State::held;
    use.epoch = *epoch;
    watch_end(drive, *epoch);
    serve_waiting(drive);
}

// A fence from outside takes the lease away from under its handles: the next open asks anew.
void ManagementCatalogue::watch_end(const std::string& drive, Epoch epoch) {
    const ServedDrive* const served = drives_.find(drive);
    const std::shared_ptr<AdmittedView> view = served == nullptr ? nullptr : served->view(epoch);
    if (!view) {
        return;
    }
    view->on_end([this, drive, epoch] {
        const auto found = local_.find(drive);
        if (found != local_.end() && found->second.state == LocalUse::State::held && found->second.epoch == epoch) {
            local_.erase(found);
        }
    });
}

std::shared_ptr<void> ManagementCatalogue::hold(const std::string& blade, const DriveReference& name) {
    ServedDrive* const drive = drives_.find(name.drive);
    if (!blade.empty() || drive == nullptr) {
        return nullptr;
    }
    const auto row = drive->admissions().find(name.epoch);
    if (row == drive->admissions().end() || row->second.revoking || row->second.admission.blade != local_blade) {
        return nullptr;
    }
    const auto [entry, is_new] = local_.try_emplace(name.drive);
    LocalUse& use = entry->second;
    if (is_new) {
        use.state = LocalUse::State::held;
        use.mode = row->second.admission.mode;
        use.epoch = name.epoch;
        drive->when_settled([this, name] { watch_end(name.drive, name.epoch); });
    }
    ++use.handles;
    return std::shared_ptr<void>(this, [this, name](void*) { local_closed(name.drive, name.epoch); });
}

void ManagementCatalogue::serve_waiting(const std::string& drive) {
    std::list<Waiting> waiting = std::move(local_.at(drive).waiting);
    // Held while they are served: one that opens and closes at once must not end the lease for the next.
    ++local_.at(drive).handles;
    const Epoch epoch = local_.at(drive).epoch;
    for (Waiting& waiter : waiting) {
        open_local({drive, 0, 0}, waiter.mode, std::move(waiter.callback));
    }
    local_closed(drive, epoch);
}

void ManagementCatalogue::local_closed(const std::string& drive, Epoch epoch) {
    const auto found = local_.find(drive);
    if (found == local_.end() || found->second.epoch != epoch || found->second.state != LocalUse::State::held) {
        return;
    }
    if (--found->second.handles == 0) {
        release(drive);
    }
}

void ManagementCatalogue::release(const std::string& drive) {
    LocalUse& use = local_.at(drive);
    use.state = LocalUse::State::releasing;
    leases_.release(drive, use.epoch, [this, drive] {
        LocalUse& released = local_.at(drive);
        released.epoch = 0;
        if (released.waiting.empty()) {
            local_.erase(drive);
        } else {
            acquire(drive, released.waiting.front().mode);
        }
    });
}

}  // namespace drivebay
