#include "fusefs/nbd_client/nbd_drive.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "fusefs/loop/worker_pool.h"
#include "fusefs/nbd_client/link_rate.h"
#include "fusefs/nbd_client/nbd_connect.h"
#include "fusefs/nbd_client/nbd_wire.h"
#include "fusefs/nbd_client/pause_limit.h"
#include "fusefs/nbd_client/unanswered_requests.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::size_t most_in_flight = 128;
constexpr Duration first_retry = std::chrono::milliseconds(25);
constexpr Duration last_retry = std::chrono::seconds(1);
// A cut link swallows the first packet of a connection: better begin anew than wait for TCP's own, slower, repetition.
constexpr Duration reconnect_limit = std::chrono::seconds(2);
constexpr Duration look_interval = std::chrono::milliseconds(200);

}  // namespace

struct NbdDrive::Impl : std::enable_shared_from_this<NbdDrive::Impl> {
    Impl(EventLoop& the_loop, NbdDriveSettings the_settings)
        : loop(the_loop), settings(std::move(the_settings)), queue(most_in_flight), pause(settings.pause_limit) {}

    EventLoop& loop;
    const NbdDriveSettings settings;
    NbdExport description;
    State state = State::paused;
    std::string failure;
    std::function<void(State)> on_state;
    Opened opened;  // set until the first connection was made or failed
    EventLoop::TimerId open_timer = 0;
    Instant patient_until{};  // for a server that is just being restarted

    UnansweredRequests queue;
    PauseLimit pause;
    LinkRate rate;
    EventLoop::TimerId pause_timer = 0;
    std::unique_ptr<NbdWire> wire;      // while connected
    std::uint64_t answered_writes = 0;  // without FUA
    std::uint64_t covered_writes = 0;   // of these, those before an answered FLUSH was sent
    std::uint64_t refused_writes = 0;
    std::string unflushed_with = settings.unflushed_with;  // as it was noted

    std::unique_ptr<WorkerPool> connecting;  // while an attempt to connect is under way
    std::shared_ptr<std::atomic<bool>> cancelled;
    EventLoop::TimerId retry_timer = 0;
    Duration retry_delay = first_retry;
    std::uint64_t instance = 0;
    std::string last_trouble;  // of connecting, so that each is logged once

    std::vector<std::pair<IoRequest*, int>> finished;  // to be told at the end of the round
    bool round_end_due = false;
    bool state_changed = false;
    std::function<void()> closed;

    // ---- telling

    void at_round_end() {
        if (!round_end_due) {
            round_end_due = true;
            loop.at_round_end([self = shared_from_this()] { self->tell(); });
        }
    }

    void tell() {
        round_end_due = false;
        for (const auto& [request, error] : std::exchange(finished, {})) {
            request->done(*request, error);
        }
        if (std::exchange(state_changed, false) && on_state) {
            on_state(state);
        }
        if (state == State::closed && closed && !connecting && finished.empty()) {
            std::exchange(closed, {})();
        }
    }

    void finish_later(IoRequest& request, int error) {
        finished.emplace_back(&request, error);
        at_round_end();
    }

    void set_state(State next) {
        if (state != next) {
            state = next;
            state_changed = true;
            at_round_end();
        }
    }

    bool unflushed() const { return covered_writes < answered_writes || queue.writes() > 0; }

    void note(const std::string& boot_id) {
        if (unflushed_with != boot_id) {
            unflushed_with = boot_id;
            if (settings.note_unflushed) {
                settings.note_unflushed(boot_id);
            }
        }
    }

    // ---- requests

    static bool moves_data(const IoRequest& request) {
        return request.operation == IoOperation::read || request.operation == IoOperation::write;
    }

    // What a request gets without being asked for; 0: it may go on.
    int refusal(const IoRequest& request) const {
        const bool changes = changes_drive(request.operation);
        switch (state) {
            case State::ended: return ESHUTDOWN;
            case State::closed:
            case State::failed: return EIO;
            case State::offline:
                if (!request.answered_early) {
                    return EIO;
                }
                break;
            case State::online:
            case State::paused: break;
        }
        if (changes && (settings.read_only || description.geometry.read_only)) {
            return EROFS;
        }
        const std::uint64_t size = description.geometry.size;
        const bool ranged = request.operation != IoOperation::flush;
        return ranged && (request.offset > size || request.length > size - request.offset) ? EINVAL : 0;
    }

    void submit(IoRequest& request) {
        if (const int error = refusal(request); error != 0) {
            if (request.operation == IoOperation::write || request.operation == IoOperation::write_zeroes) {
                ++refused_writes;
            }
            return finish_later(request, error);
        }
        if (request.operation != IoOperation::flush && request.length == 0) {
            return finish_later(request, 0);
        }
        if (changes_drive(request.operation)) {
            note(description.boot_id);
        }
        const Instant now = BootClock::now();
        if (moves_data(request)) {
            rate.begun(now);
        }
        if (queue.add(request, description).awaited && state != State::offline) {
            somebody_waits(request, now);
        }
        pump();
    }

    void now_awaited(IoRequest& request) {
        if (queue.now_awaited(request)) {
            somebody_waits(request, BootClock::now());
        }
    }

    void pump() {
        while (wire && !wire->lost()) {
            UnansweredRequests::Entry* const entry = queue.next_to_send();
            if (entry == nullptr) {
                return;
            }
            issue(*entry);
        }
    }

    void issue(UnansweredRequests::Entry& entry) {
        const std::optional<NbdPiece> piece = entry.pieces.next();
        if (!piece) {
            return complete(entry, 0);
        }
        entry.flushing = piece->command == IoOperation::flush;
        entry.flush_covers = answered_writes;
        wire->send(*piece, &entry);
    }

    void complete(UnansweredRequests::Entry& entry, int error) {
        IoRequest& request = entry.pieces.request();
        const bool changed = request.operation == IoOperation::write || request.operation == IoOperation::write_zeroes;
        if (changed && error == 0 && !request.fua) {
            ++answered_writes;
        }
        const Instant now = BootClock::now();
        if (moves_data(request)) {
            rate.done(error == 0 ? request.length : 0, now);
        }
        queue.remove(entry);
        if (!queue.awaited()) {
            pause.heard(now, false);
        }
        if (!unflushed_with.empty() && error == 0 && !unflushed()) {
            note("");
        }
        finish_later(request, error);
    }

    // Requests that fail together, because of the connection. The wire is gone by then: nobody touches their buffers.
    void fail_all(int error) {
        refused_writes += queue.writes();
        while (UnansweredRequests::Entry* const entry = queue.first()) {
            complete(*entry, error);
        }
    }

    // ---- answers

    void on_activity() {
        const auto self = shared_from_this();
        const bool heard = wire->heard();
        bool shut_down = false;
        bool flush_failed = false;
        for (const NbdWire::Answer& answer : wire->take_answers()) {
            auto& entry = *static_cast<UnansweredRequests::Entry*>(answer.token);
            if (answer.error == ESHUTDOWN) {
                shut_down = true;  // unanswered: what becomes of it is decided below
            } else if (answer.error != 0) {
                flush_failed = flush_failed || entry.flushing;
                complete(entry, answer.error);
            } else {
                if (entry.flushing) {
                    covered_writes = std::max(covered_writes, entry.flush_covers);
                }
                entry.pieces.answered();
                issue(entry);
            }
        }
        if (heard) {
            pause.heard(BootClock::now(), queue.awaited());
        }
        if (flush_failed) {
            return fail(
                fmt::format("{}: the server could not flush what was written; what is lost cannot be told. "
                            "Check the server, then open the drive again (drivebay drive refresh)",
                            settings.uri));
        }
        if (shut_down && settings.reconnect == Reconnect::barrier) {
            return end_epoch();
        }
        if (shut_down || wire->lost()) {
            return connection_lost();
        }
        pump();
    }

    // ---- the connection's life

    void connection_lost() {
        const bool plain = settings.reconnect == Reconnect::plain && !settings.trust_reconnect;
        const bool doubtful = queue.writes_in_flight() || covered_writes < answered_writes;
        wire.reset();
        queue.connection_lost();
        rate.interrupted(BootClock::now());
        if (plain && doubtful) {
            return fail(
                fmt::format("{}: the connection was lost while writes were unanswered or not flushed; what the "
                            "server made of them cannot be told. Check the drive, then open it again "
                            "(drivebay drive refresh)",
                            settings.uri));
        }
        log::warning("connection lost", {{"drive", settings.uri}, {"unanswered", queue.size()}});
        if (state == State::online) {
            set_state(State::paused);
        }
        retry_delay = first_retry;
        start_connecting();
    }

    void start_connecting() {
        if (connecting || state == State::ended || state == State::failed || state == State::closed) {
            return;
        }
        const Instant now = BootClock::now();
        NbdPatience patience;
        patience.connect_until = now + (opened ? settings.open_limit : std::min(reconnect_limit, settings.open_limit));
        // The server's barrier may take as long as the slowest I/O of the connection before.
        patience.handshake_until = now + settings.open_limit;
        cancelled = patience.cancelled;
        std::string suffix;
        if (settings.reconnect == Reconnect::barrier) {
            // Wall time, so that the numbers rise across restarts of this program, too.
            const auto wall = std::chrono::system_clock::now().time_since_epoch();
            const auto number = std::chrono::duration_cast<std::chrono::microseconds>(wall).count();
            const std::uint64_t least = std::max(instance + 1, static_cast<std::uint64_t>(number));
            instance = settings.next_instance ? settings.next_instance(least) : least;
            suffix = fmt::format("#{}", instance);
        }
        connecting = std::make_unique<WorkerPool>(loop, "nbd-connect", 1);
        connecting->compute([uri = settings.uri, suffix, patience] { return connect_nbd(uri, suffix, patience); },
                            [self = shared_from_this()](Result<NbdConnected> outcome) {
                                self->connecting.reset();
                                self->on_connected(std::move(outcome));
                            });
    }

    void on_connected(Result<NbdConnected> outcome) {
        if (state == State::ended || state == State::failed || state == State::closed) {
            return at_round_end();
        }
        if (opened) {
            return on_opened(std::move(outcome));
        }
        if (!outcome) {
            if (outcome.error().code == ENOENT && settings.reconnect == Reconnect::barrier) {
                return end_epoch();
            }
            if (outcome.error().message != last_trouble) {
                last_trouble = outcome.error().message;
                log::warning("cannot connect again", {{"error", last_trouble}});
            }
            retry_timer = loop.call_after(retry_delay, [weak = weak_from_this()] {
                if (const auto self = weak.lock()) {
                    self->retry_timer = 0;
                    self->start_connecting();
                }
            });
            retry_delay = std::min(retry_delay * 2, last_retry);
            return;
        }
        const NbdExport& found = outcome->description;
        if (found.geometry.size != description.geometry.size || found.minimum_block != description.minimum_block ||
            (found.geometry.read_only && !description.geometry.read_only)) {
            return fail(
                fmt::format("{}: the server came back with another drive ({} bytes instead of {}, or read-only)",
                            settings.uri, found.geometry.size, description.geometry.size));
        }
        if (settings.reconnect == Reconnect::barrier && found.boot_id != description.boot_id &&
            covered_writes < answered_writes) {
            return fail_as_restarted();
        }
        log::notice("connected again", {{"drive", settings.uri}, {"repeated", queue.size()}});
        go_online(std::move(*outcome));
    }

    void go_online(NbdConnected connected) {
        description = std::move(connected.description);
        last_trouble.clear();
        set_state(State::online);
        wire = std::make_unique<NbdWire>(loop, std::move(connected.handle), [this] { on_activity(); });
        if (queue.writes() > 0) {
            note(description.boot_id);
        }
        rate.interrupted(BootClock::now());
        if (queue.awaited()) {
            pause.waiting(BootClock::now());
            arm_pause_timer();
        }
        pump();
    }

    void fail_as_restarted() {
        fail(fmt::format("{}: the management module was restarted before what was written was flushed: it may be lost",
                         settings.uri));
    }

    void on_opened(Result<NbdConnected> outcome) {
        if (!outcome && is_restarting(outcome.error().code) && BootClock::now() < patient_until) {
            // Nobody else holds it before it is opened.
            retry_timer = loop.call_after(retry_delay, [self = shared_from_this()] {
                self->retry_timer = 0;
                if (self->opened) {
                    self->start_connecting();
                }
            });
            return;
        }
        loop.cancel(std::exchange(open_timer, 0));
        Opened tell_opened = std::exchange(opened, {});
        const Status fit = outcome ? check_nbd_export(settings, outcome->description) : Status(outcome.error());
        if (!fit) {
            state = State::closed;
            return tell_opened(fit.error());
        }
        const bool restarted = !unflushed_with.empty() && unflushed_with != outcome->description.boot_id;
        // What an earlier process left counts as one write.
        answered_writes = unflushed_with.empty() ? 0 : 1;
        go_online(std::move(*outcome));
        if (restarted) {
            fail_as_restarted();
        }
        tell_opened(std::unique_ptr<NbdDrive>(new NbdDrive(shared_from_this())));
    }

    // Name resolution cannot be hurried; its late result finds a closed drive.
    void on_open_limit() {
        open_timer = 0;
        state = State::closed;
        *cancelled = true;
        std::exchange(opened, {})(Error{ETIMEDOUT, fmt::format("{}: the server does not answer", settings.uri)});
    }

    void disconnect() {
        wire.reset();
        if (connecting) {
            *cancelled = true;
        }
        loop.cancel(std::exchange(retry_timer, 0));
        loop.cancel(std::exchange(pause_timer, 0));
    }

    void end_epoch() {
        log::notice("the epoch has ended", {{"drive", settings.uri}, {"unanswered", queue.size()}});
        disconnect();
        set_state(State::ended);
        fail_all(ESHUTDOWN);
    }

    void fail(std::string sentence) {
        log::error("drive failed", {{"error", sentence}});
        disconnect();
        failure = std::move(sentence);
        set_state(State::failed);
        fail_all(EIO);
    }

    // ---- the pause limit

    void somebody_waits(const IoRequest& request, Instant now) {
        pause.waiting_since(request.asked_at == Instant{} ? now : request.asked_at, now);
        arm_pause_timer();
    }

    // It looks again when it fires: whether the limit has moved away, and whether the link moves what it was given.
    void arm_pause_timer() {
        if (pause_timer != 0) {
            return;
        }
        if (const std::optional<Instant> at = pause.over_at()) {
            pause_timer = loop.call_at(std::min(*at, BootClock::now() + look_interval), [weak = weak_from_this()] {
                if (const auto self = weak.lock()) {
                    self->pause_timer = 0;
                    self->on_pause_timer();
                }
            });
        }
    }

    void on_pause_timer() {
        const Instant now = BootClock::now();
        if (wire && wire->moves()) {
            pause.heard(now, queue.awaited());
        }
        if (!pause.over(now)) {
            return arm_pause_timer();
        }
        if (wire && settings.reconnect == Reconnect::plain && !settings.trust_reconnect &&
            (queue.writes_in_flight() || covered_writes < answered_writes)) {
            return connection_lost();
        }
        wire.reset();
        queue.connection_lost();
        rate.interrupted(now);
        set_state(State::offline);
        const std::size_t unanswered = queue.size();
        while (UnansweredRequests::Entry* const entry = queue.first_to_answer()) {
            refused_writes += entry->is_write ? 1 : 0;
            complete(*entry, EIO);
        }
        log::error("past the pause limit",
                   {{"drive", settings.uri}, {"failed", unanswered - queue.size()}, {"kept", queue.size()}});
        pause.given_up();
        retry_delay = first_retry;
        if (retry_timer == 0) {
            start_connecting();
        }
    }

    void close(std::function<void()> when_closed) {
        closed = std::move(when_closed);
        if (wire) {
            wire->say_goodbye();
        }
        disconnect();
        set_state(State::closed);
        fail_all(EIO);
        at_round_end();
    }
};

NbdDrive::NbdDrive(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

NbdDrive::~NbdDrive() {
    impl_->on_state = nullptr;
    impl_->disconnect();
    impl_->state = State::closed;
}

void NbdDrive::open(EventLoop& loop, NbdDriveSettings settings, Opened opened) {
    const auto impl = std::make_shared<Impl>(loop, std::move(settings));
    impl->opened = std::move(opened);
    if (impl->settings.reconnect == Reconnect::barrier) {
        impl->patient_until = BootClock::now() + restart_limit;
    }
    impl->start_connecting();
    const Duration grace = std::chrono::milliseconds(200);  // the worker's own limit has the better sentence
    impl->open_timer = loop.call_after(impl->settings.open_limit + grace, [weak = std::weak_ptr(impl)] {
        if (const auto self = weak.lock()) {
            self->on_open_limit();
        }
    });
}

DriveGeometry NbdDrive::geometry() const {
    DriveGeometry geometry = impl_->description.geometry;
    geometry.read_only = geometry.read_only || impl_->settings.read_only;
    return geometry;
}

void NbdDrive::submit(IoRequest& request) {
    impl_->submit(request);
}
void NbdDrive::now_awaited(IoRequest& request) {
    impl_->now_awaited(request);
}
void NbdDrive::fail(std::string sentence) {
    if (impl_->state != State::ended && impl_->state != State::failed && impl_->state != State::closed) {
        impl_->fail(std::move(sentence));
    }
}
void NbdDrive::close(std::function<void()> closed) {
    impl_->close(std::move(closed));
}

std::string NbdDrive::failure() const {
    if (impl_->state == State::offline) {
        return fmt::format("{}: the server does not answer", impl_->settings.uri);
    }
    return impl_->failure;
}

NbdDrive::State NbdDrive::state() const {
    return impl_->state;
}
const NbdExport& NbdDrive::description() const {
    return impl_->description;
}
bool NbdDrive::unflushed() const {
    return impl_->unflushed();
}
std::size_t NbdDrive::unanswered() const {
    return impl_->queue.size();
}
std::uint64_t NbdDrive::rate() const {
    return impl_->rate.bytes_a_second();
}
std::uint64_t NbdDrive::refused_writes() const {
    return impl_->refused_writes;
}
void NbdDrive::on_state(std::function<void(State)> callback) {
    impl_->on_state = std::move(callback);
}

const char* to_string(NbdDrive::State state) {
    switch (state) {
        case NbdDrive::State::online: return "online";
        case NbdDrive::State::paused: return "paused";
        case NbdDrive::State::offline: return "offline";
        case NbdDrive::State::ended: return "ended";
        case NbdDrive::State::failed: return "failed";
        case NbdDrive::State::closed: return "closed";
    }
    return "";
}

}  // namespace drivebay
