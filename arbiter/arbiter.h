// The lease core put to work: gives it the time, commits what it decided, then lets it become visible.
//
// Events wait in a queue. A batch, all of those that wait, is stepped; what it changed durably is committed in one
// transaction on the disk's thread; only when that is done is anybody told, and the next batch stepped. So a disk that
// hangs delays what rests on it and nothing else: the reactor's thread never waits, reads are answered, and renewals of
// live sessions are taken as they come. While a commit is under way the state does not change at all.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arbiter/core/lease_core.h"
#include "arbiter/disk_thread.h"
#include "arbiter/event_log.h"
#include "arbiter/store/store.h"
#include "lib/rpc/reactor.h"

namespace drivebay::arbiter {

// Told of every batch that changed anything, after its commit: `actions` are those of all its steps together (refusal,
// leases and welcome, which belong to single events, left out), and the state holds nothing uncommitted.
class Audience {
public:
    virtual ~Audience() = default;
    virtual void told(const Actions& actions) = 0;
};

// Everything is called, and calls back, on the reactor's thread.
class Arbiter {
public:
    // `state` is as the store has it, term included. `give_up` is called once, with a sentence, when a commit fails, as the
    // state is then ahead of the store, and when another arbiter leads. All that waited and every later event is then
    // refused, and the program must end.
    Arbiter(rpc::Reactor& reactor, State state, Store& store, EventLog& events,
            std::function<void(const std::string&)> give_up);

    // For what is stepped from now on; what has a deadline keeps it.
    void set_timing(const Timing& timing);

    // While a commit is under way this is ahead of what is promised: see read().
    const State& state() const { return state_; }
    EventLog& events() { return events_; }
    bool has_given_up() const { return given_up_; }

    // In the order in which they are told; they must outlive the arbiter's last event.
    void add_audience(Audience& audience) { audience_.push_back(&audience); }
    // The first event; to be called once everybody listens.
    void start();

    // `answer` is called once: when what came of the event is durable and the audience was told, now or later. By then
    // other events of its batch have been stepped too: what it added may be gone again.
    using Answer = std::function<void(const Actions&)>;
    // `by`: who asks for it, for the audit log.
    void apply(Happening what, Answer answer = nullptr, std::string by = {});

    // For the audit log alone: what happened beside the leases. In the order of the events.
    void note(AuditEntry entry);

    // Calls `reader` as soon as the state holds nothing uncommitted, and when the store has been waited for longer than
    // read_patience even so: then store_delay() says how long, and the reader must say so too.
    void read(std::function<void()> reader);
    static constexpr Duration read_patience = std::chrono::milliseconds(100);

    // How long the commit under way has been waited for; nothing: there is none.
    std::optional<Duration> store_delay() const;

    // For whatever else may wait for the disk: jobs are run between commits.
    DiskThread& disk() { return disk_; }

private:
    struct Waiting {
        Happening what;
        Answer answer;
        std::string by;
    };
    struct Stepped {
        Actions actions;
        Answer answer;
    };
    bool renew(const Happening& what);
    void work();
    void step_queue();
    void commit();
    void committed(const Status& outcome);
    void tell();
    void let_readers_read();
    void end(const std::string& refusal, const std::string& why);
    void set_timer();

    State state_;
    std::optional<Timing> new_timing_;  // while a commit is under way
    Store& store_;
    EventLog& events_;
    std::function<void(const std::string&)> give_up_;
    std::vector<Audience*> audience_;
    rpc::Timer timer_;
    rpc::Timer patience_;
    bool given_up_ = false;
    bool telling_ = false;

    std::deque<Waiting> queue_;
    // Sessions that lived on while a commit was under way, and when they last said so.
    std::map<std::string, Instant> renewed_;
    std::vector<std::function<void()>> readers_;

    // The batch that was stepped and is not yet told.
    std::vector<Stepped> batch_;
    Actions together_;
    std::vector<EventLog::Line> lines_;
    std::vector<AuditEntry> notes_;
    std::optional<std::string> deposed_;
    std::optional<Instant> committing_since_;
    Status committed_ = success();  // the disk thread's, while it commits

    // Last: what it works on outlives its last job.
    DiskThread disk_;
};

}  // namespace drivebay::arbiter
