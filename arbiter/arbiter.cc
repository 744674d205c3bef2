#include "arbiter/arbiter.h"

#include <algorithm>
#include <utility>

namespace drivebay::arbiter {
namespace {

// Stepping a long queue must not become what a renewal waits for: the rest is the next batch.
constexpr Duration longest_stepping = std::chrono::milliseconds(20);

// What the audience is told once, however many events of a batch ask for it.
void add(Actions& sum, const Actions& one) {
    sum.changes.drives.insert(one.changes.drives.begin(), one.changes.drives.end());
    sum.changes.blades.insert(one.changes.blades.begin(), one.changes.blades.end());
    sum.changes.epochs.insert(one.changes.epochs.begin(), one.changes.epochs.end());
    sum.changes.leases.insert(one.changes.leases.begin(), one.changes.leases.end());
    sum.changes.requests.insert(one.changes.requests.begin(), one.changes.requests.end());
    sum.changes.term = sum.changes.term || one.changes.term;
    sum.table = sum.table || one.table;
    sum.desired.insert(one.desired.begin(), one.desired.end());
    sum.dropped_blades.insert(one.dropped_blades.begin(), one.dropped_blades.end());
    sum.audit.insert(sum.audit.end(), one.audit.begin(), one.audit.end());
}

std::int64_t wall_ms() {
    using std::chrono::milliseconds;
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Actions refused(std::string why) {
    Actions actions;
    actions.refusal = Refusal{503, std::move(why)};
    return actions;
}

}  // namespace

Arbiter::Arbiter(rpc::Reactor& reactor, State state, Store& store, EventLog& events,
                 std::function<void(const std::string&)> give_up)
    : state_(std::move(state)),
      store_(store),
      events_(events),
      give_up_(std::move(give_up)),
      timer_(reactor),
      patience_(reactor),
      disk_(reactor) {}

void Arbiter::start() {
    apply(Started{});
}

void Arbiter::apply(Happening what, Answer answer, std::string by) {
    if (given_up_) {
        if (answer) {
            answer(refused("the arbiter is ending; its log says why"));
        }
        return;
    }
    if (renew(what)) {
        if (answer) {
            answer(Actions{});
        }
        return;
    }
    queue_.push_back({std::move(what), std::move(answer), std::move(by)});
    work();
}

void Arbiter::note(AuditEntry entry) {
    notes_.push_back(std::move(entry));
    work();
}

void Arbiter::set_timing(const Timing& timing) {
    if (committing_since_) {
        new_timing_ = timing;
    } else {
        state_.timing = timing;
    }
}

// By far the most frequent event, and one that a session's life hangs on: a live session that goes on living never waits
// for a commit. True where that is all there was to do.
bool Arbiter::renew(const Happening& what) {
    const auto* renewal = std::get_if<BladeRenewed>(&what);
    const auto* hello = std::get_if<BladeArrived>(&what);
    if (!renewal && !(hello && committing_since_)) {
        return false;
    }
    const auto found = state_.blades.find(renewal ? renewal->blade : hello->hello.blade);
    if (found == state_.blades.end() || !found->second.live) {
        return false;
    }
    const Instant now = BootClock::now();
    if (renewal && !committing_since_) {
        // It moves one deadline to later, so the timer that is set still comes in time.
        step(state_, Event{now, what});
        return true;
    }
    const Blade& blade = found->second;
    if (renewal || (hello->hello.session == blade.session && hello->hello.boot_id == blade.boot_id)) {
        Instant& since = renewed_[blade.name];
        since = std::max(since, renewal ? renewal->since : now);
    }
    return renewal != nullptr;
}

void Arbiter::work() {
    while (!committing_since_ && !telling_ && !given_up_ && !(queue_.empty() && notes_.empty())) {
        step_queue();
        if (deposed_) {
            end(*deposed_, *deposed_);
        } else if (together_.changes.empty()) {
            if (!lines_.empty()) {
                disk_.run([this, lines = lines_] { events_.write(lines); });
            }
            tell();
        } else {
            commit();
        }
    }
}

void Arbiter::step_queue() {
    if (new_timing_) {
        state_.timing = *std::exchange(new_timing_, std::nullopt);
    }
    // Before anything that could find those sessions expired.
    for (const auto& [blade, since] : std::exchange(renewed_, {})) {
        step(state_, Event{since, BladeRenewed{blade, since}});
    }
    const Instant begin = BootClock::now();
    for (Instant now = begin; !queue_.empty() && now < begin + longest_stepping; now = BootClock::now()) {
        Waiting next = std::move(queue_.front());
        queue_.pop_front();
        Event event{now, std::move(next.what), wall_ms(), std::move(next.by)};
        batch_.push_back({step(state_, event), std::move(next.answer)});
        add(together_, batch_.back().actions);
        deposed_ = batch_.back().actions.deposed;
        if (deposed_) {
            return;
        }
    }
    for (const AuditEntry& entry : together_.audit) {
        lines_.push_back(events_.draw_up(entry));
    }
    for (const AuditEntry& entry : std::exchange(notes_, {})) {
        lines_.push_back(events_.draw_up(entry));
        // Whoever waits for events is told as with any other.
        together_.audit.push_back(entry);
    }
}

void Arbiter::commit() {
    committing_since_ = BootClock::now();
    disk_.run(
        [this] {
            committed_ = store_.commit(state_, together_.changes);
            if (committed_) {
                events_.write(lines_);
            }
        },
        [this] { committed(committed_); });
}

void Arbiter::committed(const Status& outcome) {
    committing_since_.reset();
    if (!outcome) {
        end("the arbiter could not write its store: " + outcome.error().message,
            "the store cannot be written, so nothing more can be promised: " + outcome.error().message);
        return;
    }
    tell();
    work();
}

void Arbiter::tell() {
    telling_ = true;
    events_.keep(std::exchange(lines_, {}));
    const Actions together = std::exchange(together_, {});
    const std::vector<Stepped> batch = std::exchange(batch_, {});
    for (Audience* audience : audience_) {
        audience->told(together);
    }
    for (const Stepped& stepped : batch) {
        if (stepped.answer) {
            stepped.answer(stepped.actions);
        }
    }
    let_readers_read();
    telling_ = false;
    set_timer();
}

void Arbiter::read(std::function<void()> reader) {
    const auto delay = store_delay();
    if (!delay || *delay >= read_patience) {
        reader();
        return;
    }
    if (readers_.empty()) {
        // Not a moment before store_delay() says so.
        patience_.set(read_patience - *delay + std::chrono::milliseconds(1), [this] { let_readers_read(); });
    }
    readers_.push_back(std::move(reader));
}

std::optional<Duration> Arbiter::store_delay() const {
    return committing_since_ ? std::optional<Duration>(BootClock::now() - *committing_since_) : std::nullopt;
}

void Arbiter::let_readers_read() {
    patience_.cancel();
    for (const auto& reader : std::exchange(readers_, {})) {
        reader();
    }
}

void Arbiter::end(const std::string& refusal, const std::string& why) {
    given_up_ = true;
    const Actions actions = refused(refusal);
    std::vector<Answer> answers;
    for (Stepped& stepped : std::exchange(batch_, {})) {
        answers.push_back(std::move(stepped.answer));
    }
    for (Waiting& waiting : std::exchange(queue_, {})) {
        answers.push_back(std::move(waiting.answer));
    }
    for (const Answer& answer : answers) {
        if (answer) {
            answer(actions);
        }
    }
    let_readers_read();
    give_up_(why);
}

void Arbiter::set_timer() {
    const auto deadline = next_deadline(state_);
    if (!deadline) {
        timer_.cancel();
        return;
    }
    timer_.set(std::max(*deadline - BootClock::now(), Duration::zero()), [this] { apply(Tick{}); });
}

}  // namespace drivebay::arbiter
