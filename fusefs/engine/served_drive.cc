#include "fusefs/engine/served_drive.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

using namespace std::chrono_literals;

namespace {

constexpr Duration open_again_after = 2s;
constexpr Duration drain_is_late_after = 5s;

}  // namespace

ServedDrive::ServedDrive(ServedContext& context, std::string name)
    : context_(context),
      name_(std::move(name)),
      scheduler_(context.resources.loop, FairQueue::Limits{context.policies.queue_depth}) {}

ServedDrive::~ServedDrive() {
    *alive_ = false;
    context_.resources.loop.cancel(retry_);
    for (const auto& [epoch, timer] : drain_watches_) {
        context_.resources.loop.cancel(timer);
    }
}

void ServedDrive::want(const DriveRow* row, Admissions admissions) {
    if (stopping_) {
        return;
    }
    const std::optional<DriveRow> wanted = row == nullptr ? std::nullopt : std::optional(*row);
    if (wanted && row_ && wanted->drive != row_->drive) {
        tried_ = false;
        context_.resources.loop.cancel(std::exchange(retry_, 0));
    }
    row_ = wanted;
    admissions_ = std::move(admissions);
    std::erase_if(fencing_, [&](Epoch epoch) { return !admissions_.contains(epoch); });
    reconcile();
    for (const auto& callback : std::exchange(wanted_callbacks_, {})) {
        callback();
    }
}

void ServedDrive::reconcile() {
    for (const auto& [epoch, entry] : admissions_) {
        if (entry.revoking && fencing_.insert(epoch).second) {
            begin_fence(entry.admission);
        }
    }
    const bool unused = admissions_.empty() && views_.empty() && busy_ == 0;
    const bool outdated = !row_ || opened_as_ != row_->drive;
    if (phase_ == Phase::open) {
        if (stopping_ ? views_.empty() && busy_ == 0 : unused && (outdated || !row_->listed)) {
            begin_close();
        } else if (!outdated && !stopping_) {
            open_views();
        }
    } else if (phase_ == Phase::closed && row_ && !tried_ && !stopping_) {
        begin_open();
    }
}

void ServedDrive::begin_open() {
    phase_ = Phase::opening;
    tried_ = true;
    context_.resources.loop.cancel(std::exchange(retry_, 0));
    opened_as_ = row_->drive;
    if (!context_.trust_reconnect && row_->writes_marked != 0 && row_->writes_marked == opened_as_.generation) {
        return open_failed({EUCLEAN, opened_as_.source +
                                         ": drivebayfs ended while writes to it were on their way; what the server made "
                                         "of them, or will yet, cannot be told. Check the drive, then open it again "
                                         "(drivebay drive refresh)"});
    }
    const std::string source = opened_as_.source;
    context_.resources.workers.compute(
        [source] { return identify_medium(source); },
        [this, alive = alive_](Result<MediumIdentity> identity) {
            if (!*alive) {
                return;
            }
            if (!identity) {
                return open_failed(identity.error());
            }
            if (const std::string conflict = context_.conflict(name_, *identity); !conflict.empty()) {
                return open_failed({EBUSY, conflict});
            }
            identity_ = std::move(*identity);
            OpenWish wish;
            wish.source = opened_as_.source;
            wish.read_only = opened_as_.read_only || opened_as_.kind == DriveKind::cdrom;
            wish.cache = context_.policies.cache_of(name_);
            wish.roots = context_.policies.roots;
            wish.trust_reconnect = context_.trust_reconnect;
            wish.mark_writes = [this, generation = opened_as_.generation](bool set, std::function<void(bool)> done) {
                context_.mark_writes(name_, generation, set, std::move(done));
            };
            open_drive(context_.resources, wish, [this, still = alive_](Result<std::unique_ptr<Drive>> outcome) {
                if (*still) {
                    opened(std::move(outcome));
                }
            });
        });
}

void ServedDrive::opened(Result<std::unique_ptr<Drive>> outcome) {
    if (!outcome) {
        return open_failed(outcome.error());
    }
    drive_ = std::move(*outcome);
    phase_ = Phase::open;
    open_error_.clear();
    log::info("drive opened", {{"drive", name_}, {"source", opened_as_.source}, {"size", drive_->geometry().size}});
    reconcile();
    settle();
}

void ServedDrive::open_failed(const Error& error) {
    phase_ = Phase::closed;
    identity_.reset();
    if (open_error_ != error.message) {
        open_error_ = error.message;
        log::error("drive cannot be opened", {{"drive", name_}, {"reason", error.message}});
    }
    if (row_ && !stopping_ && retry_ == 0) {
        retry_ = context_.resources.loop.call_after(open_again_after, [this] {
            retry_ = 0;
            tried_ = false;
            reconcile();
        });
    }
    if (row_ && row_->drive != opened_as_) {
        tried_ = false;  // it was changed while it was being opened
    }
    settle();
    reconcile();
}

void ServedDrive::begin_close() {
    phase_ = Phase::closing;
    drive_->close([this] {
        log::info("drive closed", {{"drive", name_}});
        phase_ = Phase::closed;
        tried_ = false;
        drive_.reset();
        identity_.reset();
        reconcile();
        if (settled() || !row_ || stopping_) {
            settle();
        }
    });
}

void ServedDrive::settle() {
    for (const std::function<void()>& callback : std::exchange(settled_callbacks_, {})) {
        callback();
    }
    context_.changed();
}

void ServedDrive::when_settled(std::function<void()> callback) {
    if (settled() || !row_ || stopping_) {
        return callback();
    }
    settled_callbacks_.push_back(std::move(callback));
}

void ServedDrive::open_views() {
    bool opened_one = false;
    for (const auto& [epoch, entry] : admissions_) {
        if (entry.revoking || views_.contains(epoch)) {
            continue;
        }
        ViewInfo info;
        info.admission = entry.admission;
        info.kind = opened_as_.kind;
        info.geometry = drive_->geometry();
        info.geometry.read_only = info.geometry.read_only || entry.admission.mode == Mode::read;
        info.description = "drivebay boot=" + context_.boot_id + " epoch=" + std::to_string(epoch) +
                           " kind=" + std::string(to_string(info.kind));
        const std::uint64_t rate = context_.policies.rate_of(info.admission.blade, name_);
        views_.emplace(epoch, std::make_shared<AdmittedView>(context_.resources.loop, *drive_, scheduler_, std::move(info),
                                                             rate));
        log::info("admitted", {{"drive", name_},
                               {"blade", entry.admission.blade},
                               {"mode", to_string(entry.admission.mode)},
                               {"epoch", epoch}});
        opened_one = true;
    }
    if (opened_one) {
        context_.changed();
    }
}

void ServedDrive::begin_fence(const Admission& admission) {
    ++busy_;
    const auto view = views_.find(admission.epoch);
    if (view == views_.end()) {
        // Nothing was opened since the start: nothing is in flight. What a predecessor wrote may still want its flush.
        when_settled([this, alive = alive_, admission] {
            if (*alive) {
                fence_drained(admission);
            }
        });
        return;
    }
    watch_drain(admission);
    // The gate may call from inside the view's last completion: what follows destroys the view, so not from there.
    view->second->end([this, alive = alive_, admission] {
        context_.resources.loop.at_round_end([this, alive, admission] {
            if (*alive) {
                fence_drained(admission);
            }
        });
    });
}

void ServedDrive::watch_drain(const Admission& admission) {
    drain_watches_[admission.epoch] = context_.resources.loop.call_after(drain_is_late_after, [this, admission] {
        const auto view = views_.find(admission.epoch);
        log::warning("a fence waits for I/O in flight", {{"drive", name_},
                                                         {"blade", admission.blade},
                                                         {"epoch", admission.epoch},
                                                         {"in_flight", view == views_.end() ? 0 : view->second->in_flight()}});
        watch_drain(admission);
    });
}

void ServedDrive::fence_drained(const Admission& admission) {
    if (admission.mode == Mode::read) {
        return finish_fence(admission, true, "");
    }
    if (phase_ != Phase::open) {
        return finish_fence(admission, false,
                            "the drive could not be flushed, because it is not open" +
                                (open_error_.empty() ? std::string() : ": " + open_error_));
    }
    flush([this, admission](int error) {
        finish_fence(admission, error == 0,
                     error == 0 ? std::string() : system_error(error, "the flush of the drive failed").message);
    });
}

void ServedDrive::finish_fence(const Admission& admission, bool flushed, std::string error) {
    if (const auto watch = drain_watches_.extract(admission.epoch)) {
        context_.resources.loop.cancel(watch.mapped());
    }
    if (const auto view = views_.extract(admission.epoch)) {
        past_counters_[admission.blade].add(view.mapped()->counters());
    }
    log::info("fenced", {{"drive", name_}, {"blade", admission.blade}, {"epoch", admission.epoch}, {"flushed", flushed}});
    if (!error.empty()) {
        log::error("fenced without a flush", {{"drive", name_}, {"epoch", admission.epoch}, {"reason", error}});
    }
    --busy_;
    context_.fenced({name_, admission.blade, admission.epoch, flushed, std::move(error)});
    reconcile();
}

void ServedDrive::flush(std::function<void(int)> callback) {
    struct Flush {
        IoRequest request;
        std::function<void(int)> callback;
    };
    auto flush = std::make_unique<Flush>();
    flush->callback = std::move(callback);
    flush->request.operation = IoOperation::flush;
    flush->request.context = flush.get();
    flush->request.done = [](IoRequest& request, int error) {
        const std::unique_ptr<Flush> done(static_cast<Flush*>(request.context));
        done->callback(error);
    };
    drive_->submit(flush.release()->request);
}

void ServedDrive::stop() {
    if (stopping_) {
        return;
    }
    stopping_ = true;
    context_.resources.loop.cancel(std::exchange(retry_, 0));
    for (const auto& [epoch, view] : views_) {
        if (view->ended()) {
            continue;  // its fence is under way
        }
        ++busy_;
        view->end([this, epoch = epoch] {
            context_.resources.loop.at_round_end([this, epoch] {
                const bool write = views_.extract(epoch).mapped()->info().admission.mode == Mode::write;
                if (!write) {
                    --busy_;
                    return reconcile();
                }
                flush([this](int error) {
                    if (error != 0) {
                        log::error("the last flush failed", {{"drive", name_}, {"error", error}});
                    }
                    --busy_;
                    reconcile();
                });
            });
        });
    }
    settle();
    reconcile();
}

bool ServedDrive::gone() const {
    return phase_ == Phase::closed && busy_ == 0 && views_.empty() && (stopping_ || (!row_ && admissions_.empty()));
}

std::shared_ptr<AdmittedView> ServedDrive::view(Epoch epoch) const {
    const auto found = views_.find(epoch);
    return found == views_.end() || found->second->ended() ? nullptr : found->second;
}

std::string ServedDrive::failure() const {
    if (phase_ == Phase::open) {
        return drive_->failure();
    }
    return open_error_;
}

std::optional<protocol::ObservedDrive> ServedDrive::observed() const {
    const std::string error = failure();
    if (phase_ != Phase::open && error.empty()) {
        return std::nullopt;
    }
    const DriveGeometry geometry = this->geometry();
    return protocol::ObservedDrive{name_,
                                   opened_as_.generation,
                                   error.empty() ? protocol::DriveState::ready : protocol::DriveState::failed,
                                   geometry.size,
                                   geometry.block_size,
                                   error};
}

std::vector<protocol::Counters> ServedDrive::counters() const {
    std::map<std::string, protocol::Counters> sums = past_counters_;
    for (const auto& [epoch, view] : views_) {
        const protocol::Counters live = view->counters();
        sums[live.blade].add(live);
    }
    std::vector<protocol::Counters> all;
    for (auto& [blade, sum] : sums) {
        sum.drive = name_;
        sum.blade = blade;
        all.push_back(std::move(sum));
    }
    return all;
}

}  // namespace drivebay
