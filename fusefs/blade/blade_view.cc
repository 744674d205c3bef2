#include "fusefs/blade/blade_view.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

Result<ViewInfo> blade_view_info(const std::string& blade, const std::string& drive, const NbdExport& found) {
    if (found.epoch == 0) {
        return Error{EPROTO,
                     fmt::format("the server of {}/{} is no drivebayfs: its export does not say its epoch. Name "
                                 "the management module, not a drive's own server",
                                 blade, drive)};
    }
    ViewInfo info;
    info.admission = {drive, blade, found.geometry.read_only ? Mode::read : Mode::write, found.epoch};
    info.kind = found.kind;
    info.geometry = found.geometry;
    info.description =
        fmt::format("drivebay boot={} epoch={} kind={}", found.boot_id, found.epoch, to_string(found.kind));
    return info;
}

// One open file's hold on the drive.
class BladeView final : public View {
public:
    explicit BladeView(std::shared_ptr<BladeDrive> drive) : drive_(std::move(drive)) {
        ++drive_->views_;
        drive_->was_opened_ = true;
    }
    BladeView(const BladeView&) = delete;
    BladeView& operator=(const BladeView&) = delete;
    ~BladeView() override { drive_->view_closed(); }

    const ViewInfo& info() const override { return drive_->info_; }

    // The gate is the management module's, which judges each request; here it only counts what was asked.
    void submit(IoRequest& request) override {
        protocol::Counters& counters = drive_->counters_;
        if (request.operation == IoOperation::read) {
            ++counters.reads;
            counters.read_bytes += request.length;
        } else if (request.operation == IoOperation::write) {
            ++counters.writes;
            counters.written_bytes += request.length;
        }
        drive_->submit(request);
    }

    bool ended() const override { return drive_->drive_->state() == NbdDrive::State::ended; }

    std::uint64_t on_end(std::function<void()> callback) override {
        drive_->on_end_.emplace(++drive_->last_end_, std::move(callback));
        return drive_->last_end_;
    }

    void forget(std::uint64_t callback_id) override { drive_->on_end_.erase(callback_id); }

private:
    const std::shared_ptr<BladeDrive> drive_;
};

BladeDrive::BladeDrive(EventLoop& loop, KeptEpochs& epochs, Settings settings, std::function<void(DrainAnswer)> closed)
    : loop_(loop),
      epochs_(epochs),
      settings_(std::move(settings)),
      closed_(std::move(closed)),
      kept_(epochs.find(settings_.drive, settings_.epoch)),
      was_opened_(kept_ != nullptr),
      read_ahead_(loop,
                  {[this](IoRequest& request) { send(request); },
                   [this](IoRequest& request) { drive_->now_awaited(request); }, [this] { return drive_->rate(); }}),
      write_behind_([this] { return drive_->rate(); }),
      write_coalescing_([this](IoRequest& request) { drive_->submit(request); }, [this] { return drive_->rate(); }),
      write_error_(kept_ != nullptr ? kept_->write_error.load() : 0),
      refused_(kept_ != nullptr ? kept_->refused.load() : 0) {
    counters_.drive = settings_.drive;
    counters_.blade = settings_.blade;
}

BladeDrive::~BladeDrive() = default;

void BladeDrive::open(Mode mode, Opened opened) {
    waiting_.push_back({mode, std::move(opened)});
    if (drive_) {
        loop_.post([self = shared_from_this()] { self->serve_waiting(); });
    } else {
        connect();
    }
}

void BladeDrive::settle() {
    settling_ = true;
    if (drive_) {
        try_close();
    } else {
        connect();
    }
}

void BladeDrive::give_up() {
    giving_up_ = true;
    if (drive_ && write_behind_.held() > 0) {
        drive_->fail(fmt::format("drivebayfs ended before what was written to {} was sent", settings_.drive));
    }
    try_close();
}

void BladeDrive::submit(IoRequest& request) {
    if (request.operation == IoOperation::read && drive_->state() == NbdDrive::State::online) {
        if (!read_ahead_.serve(request)) {
            send(request);
        }
        return read_ahead_.advance(request, info_.geometry.size);
    }
    if (changes_drive(request.operation)) {
        read_ahead_.forget(request.offset, request.length);
    }
    if (request.answered_early) {
        write_behind_.take_anyway(request.length);
    } else if (request.answer_early != nullptr && !request.fua && answers_early_ &&
               drive_->state() == NbdDrive::State::online && write_behind_.take(request.length)) {
        request.answered_early = true;
        request.answer_early(request);
    }
    if (changes_drive(request.operation) || request.operation == IoOperation::flush) {
        follow(request);
    }
    if (request.answered_early) {
        write_coalescing_.take(request);
    } else {
        send(request);
    }
}

void BladeDrive::send(IoRequest& request) {
    write_coalescing_.send_before(request);
    drive_->submit(request);
}

void BladeDrive::follow(IoRequest& request) {
    request.asker_done = request.done;
    request.asker_context = request.context;
    request.context = this;
    request.done = [](IoRequest& finished, int error) {
        error = static_cast<BladeDrive*>(finished.context)->outcome_of(finished, error);
        finished.context = finished.asker_context;
        finished.asker_done(finished, error);
    };
}

int BladeDrive::outcome_of(const IoRequest& request, int error) {
    if (request.answered_early) {
        write_behind_.done(request.length);
        if (error != 0 && !is_over()) {
            log::error("an answered write failed", {{"drive", settings_.drive}, {"epoch", settings_.epoch}, {"error", error}});
            answers_early_ = false;
            note_refused(error);
            note_write_error(error);
        }
        return error;
    }
    if (error == 0 && write_error_ != 0) {
        error = write_error_;
        note_write_error(0);
    }
    return error;
}

void BladeDrive::note_write_error(int error) {
    write_error_ = error;
    if (kept_ != nullptr) {
        kept_->write_error.store(error);
    }
}

// For ever, since nobody can tell whether the host has heard of it: f_mass_storage swallows the error of the fsync with
// which a host closes its drive.
void BladeDrive::note_refused(int error) {
    refused_ = error;
    if (kept_ != nullptr) {
        kept_->refused.store(error);
    }
}

bool BladeDrive::is_over() const {
    return drive_->state() == NbdDrive::State::ended || drive_->state() == NbdDrive::State::failed;
}

void BladeDrive::connect() {
    if (std::exchange(connecting_, true)) {
        return;
    }
    NbdDriveSettings settings;
    settings.uri = settings_.uri;
    settings.reconnect = Reconnect::barrier;
    settings.pause_limit = settings_.pause_limit;
    settings.unflushed_with = kept_ != nullptr ? KeptEpochs::unflushed_with(*kept_) : "";
    settings.note_unflushed = [weak = weak_from_this()](const std::string& boot_id) {
        if (const auto self = weak.lock(); self && self->kept_ != nullptr) {
            KeptEpochs::note_unflushed(*self->kept_, boot_id);
        }
    };
    settings.next_instance = [this](std::uint64_t at_least) { return epochs_.next_instance(at_least); };
    NbdDrive::open(loop_, settings, [self = shared_from_this()](Result<std::unique_ptr<NbdDrive>> drive) {
        self->connecting_ = false;
        if (drive) {
            const Settings& asked = self->settings_;
            if (Result<ViewInfo> info = blade_view_info(asked.blade, asked.drive, (*drive)->description())) {
                self->info_ = std::move(*info);
            } else {
                drive = info.error();
            }
        }
        self->on_connected(std::move(drive));
    });
}

void BladeDrive::on_connected(Result<std::unique_ptr<NbdDrive>> drive) {
    if (!drive) {
        const Error& error = drive.error();
        const Error told{error.code == ENOENT || error.code == EPROTO ? error.code : EHOSTUNREACH, error.message};
        closing_ = true;
        for (const Waiting& waiting : std::exchange(waiting_, {})) {
            waiting.opened(told);
        }
        return error.code == ENOENT ? gone(error) : over({protocol::Outcome::unknown, error.message});
    }
    drive_ = std::move(*drive);
    drive_->on_state([weak = weak_from_this()](NbdDrive::State state) {
        if (const auto self = weak.lock()) {
            self->on_state(state);
        }
    });
    if (info_.admission.mode == Mode::write) {
        kept_ = epochs_.of(settings_.drive, settings_.epoch);
        if (kept_ == nullptr) {
            log::warning("more drives are open than a restarted drivebayfs can know about",
                         {{"drive", settings_.drive}, {"kept", KeptLayout::epochs}});
        }
    }
    serve_waiting();
}

// The epoch had ended before this process could connect.
void BladeDrive::gone(const Error& error) {
    if (refused_ != 0) {
        return over({protocol::Outcome::lost, refused_sentence()});
    }
    if (kept_ != nullptr && !KeptEpochs::unflushed_with(*kept_).empty()) {
        return over({protocol::Outcome::lost, unflushed_sentence()});
    }
    if (kept_ != nullptr) {
        epochs_.forget(*std::exchange(kept_, nullptr));
    }
    over({protocol::Outcome::unknown, error.message});
}

void BladeDrive::serve_waiting() {
    for (const Waiting& waiting : std::exchange(waiting_, {})) {
        if (waiting.mode == Mode::write && info_.admission.mode == Mode::read) {
            waiting.opened(
                Error{EROFS, fmt::format("{} is presented to {} for reading", settings_.drive, settings_.blade)});
        } else {
            waiting.opened(std::shared_ptr<View>(std::make_shared<BladeView>(shared_from_this())));
        }
    }
    try_close();
}

void BladeDrive::on_state(NbdDrive::State state) {
    if (state == NbdDrive::State::ended) {
        for (const auto& [id, callback] : std::exchange(on_end_, {})) {
            callback();
        }
    }
    try_close();
}

// Perhaps inside a completion of the very drive, so the rest is left for later.
void BladeDrive::view_closed() {
    --views_;
    loop_.post([self = shared_from_this()] { self->try_close(); });
}

std::string BladeDrive::unflushed_sentence() const {
    return fmt::format("epoch {} of {} ended before what was written was flushed", settings_.epoch, settings_.drive);
}

std::string BladeDrive::refused_sentence() const {
    return fmt::format("a write to {} failed after it was answered: {}", settings_.drive, std::strerror(refused_));
}

DrainAnswer BladeDrive::verdict() const {
    if (drive_->state() == NbdDrive::State::failed) {
        return {protocol::Outcome::lost, drive_->failure()};
    }
    if (drive_->unflushed()) {
        return {protocol::Outcome::lost, unflushed_sentence()};
    }
    if (refused_ != 0) {
        return {protocol::Outcome::lost, refused_sentence()};
    }
    if (drive_->state() == NbdDrive::State::ended && drive_->refused_writes() > 0) {
        return {protocol::Outcome::lost,
                fmt::format("writes to {} were refused because epoch {} had ended", settings_.drive, settings_.epoch)};
    }
    return {protocol::Outcome::drained, ""};
}

// Steps towards the end once no view is left: flush, look what came of it, close. An offline drive waits here for
// on_state(): what was written before may still be flushed when the link is back.
void BladeDrive::try_close() {
    if (!drive_ || views_ > 0 || !waiting_.empty() || flushing_ || closing_) {
        return;
    }
    const NbdDrive::State state = drive_->state();
    const bool writable = info_.admission.mode == Mode::write;
    if (is_over() || giving_up_ || !writable || (!drive_->unflushed() && !settling_)) {
        return close(verdict());
    }
    if (state == NbdDrive::State::offline) {
        return;
    }
    flushing_ = true;
    flush_ = IoRequest{};
    flush_.operation = IoOperation::flush;
    flush_.context = this;
    flush_.done = [](IoRequest& request, int error) { static_cast<BladeDrive*>(request.context)->flushed(error); };
    send(flush_);
}

void BladeDrive::flushed(int error) {
    flushing_ = false;
    settling_ = settling_ && error != 0;
    // Not from inside the completion: closing the drive must not meet itself.
    loop_.post([self = shared_from_this()] { self->try_close(); });
}

void BladeDrive::close(DrainAnswer answer) {
    closing_ = true;
    drive_->close([self = shared_from_this(), answer = std::move(answer)] {
        self->loop_.post([self, answer] {
            self->drive_.reset();
            self->over(answer);
        });
    });
}

void BladeDrive::over(DrainAnswer answer) {
    answer.opened = was_opened_;
    if (!was_opened_ && answer.outcome == protocol::Outcome::drained && info_.admission.mode == Mode::write) {
        // One whose keeper died, too, is gone with what it had answered and not sent.
        answer = {protocol::Outcome::unknown,
                  fmt::format("{} was not open here: what an earlier drivebayfs had not sent is lost", settings_.drive), false};
    }
    if (kept_ != nullptr && answer.outcome != protocol::Outcome::unknown) {
        KeptEpochs::note_over(*kept_, answer.outcome == protocol::Outcome::lost);
    }
    std::exchange(closed_, {})(std::move(answer));
}

// A drive that failed is over, too: it serves nothing any more, and only another epoch can begin anew.
ViewStatus::State BladeDrive::told_state() const {
    if (!drive_ || drive_->state() == NbdDrive::State::offline || drive_->state() == NbdDrive::State::closed) {
        return ViewStatus::State::offline;
    }
    return is_over() ? ViewStatus::State::ended : ViewStatus::State::online;
}

ViewStatus BladeDrive::status() const {
    ViewStatus status;
    // What was asked for: the server's word comes with the connection.
    const Mode mode = kept_ != nullptr ? Mode::write : info_.admission.mode;
    status.admission = {settings_.drive, settings_.blade, mode, settings_.epoch};
    status.handles = views_;
    status.counters = counters_;
    status.state = told_state();
    status.in_flight = drive_ ? drive_->unanswered() : 0;
    return status;
}

}  // namespace drivebay
