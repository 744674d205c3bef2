// Waiting for leases: what an answer about one means to whoever waits for it, and the loop that asks.
#pragma once

#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/arbiter.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"

namespace drivebay::cli {

enum class Progress {
    pending,  // nobody has to do anything: it will go on by itself
    queued,   // others hold the drive
    offline,  // granted, but the blade is not there to load it
    done,
    failed,
};

struct Verdict {
    Progress progress = Progress::pending;
    std::string sentence;  // empty while pending without anything to tell
};

// A LEASE of doc/PROTOCOL.md as the answer to `present`. `blade` is the blade's object (GET /v1/blades/NAME), or null
// where it was not asked.
Verdict judge_presented(const nlohmann::json& lease, const nlohmann::json& blade);

// The same as the answer to `withdraw`.
Verdict judge_withdrawn(const nlohmann::json& lease);

// "blade01 (write)", or "blade01 (write) and blade03 (read)"; empty if nobody else is before it.
std::string behind_whom(const nlohmann::json& lease);

// The text of a field, or nothing where it is missing or no text.
std::string text_of(const nlohmann::json& object, const char* key);
// A lease's id as it stands in a URL.
std::string id_of(const nlohmann::json& lease);

class LeaseWait {
public:
    enum class Until { loaded, gone };

    struct Entry {
        nlohmann::json lease;
        Verdict verdict;
    };

    LeaseWait(const Arbiter& arbiter, Until until) : arbiter_(arbiter), until_(until) {}

    // Keeps waiting for those that are queued, instead of leaving them where they stand.
    void stay_in_queue() { stays_in_queue_ = true; }
    // The same for blades that are not there.
    void stay_for_blades() { stays_for_blades_ = true; }
    // At the limit, or once the flag (set by a signal's handler) is up, run() returns with what is not final yet.
    void set_limit(Duration limit) { deadline_ = BootClock::now() + limit; }
    void set_interruption(const volatile std::sig_atomic_t* flag) { interrupted_ = flag; }
    // Called from run() when a verdict's sentence changes, at the earliest two seconds after its begin.
    void on_progress(std::function<void(const std::string&)> callback) { progress_ = std::move(callback); }

    // A request that may be repeated: an arbiter that answered a moment ago and does not now is being restarted.
    Result<nlohmann::json> post_patiently(const std::string& target, const nlohmann::json& body);

    // Blocks until every lease is final. Errors: the arbiter is not reachable for longer than a restart of it takes.
    Result<std::vector<Entry>> run(const nlohmann::json& leases);

    // As far as run() is concerned.
    bool is_final(const Entry& entry) const;
    bool was_interrupted() const { return interrupted_ && *interrupted_ != 0; }

private:
    bool is_over() const { return was_interrupted() || (deadline_ && BootClock::now() >= *deadline_); }
    Status judge(Entry& entry);
    Status ask(Entry& entry, std::chrono::milliseconds wait);
    Result<nlohmann::json> patiently(const std::function<Result<nlohmann::json>()>& request) const;

    const Arbiter& arbiter_;
    Until until_;
    bool stays_in_queue_ = false;
    bool stays_for_blades_ = false;
    std::optional<Instant> deadline_;
    const volatile std::sig_atomic_t* interrupted_ = nullptr;
    std::function<void(const std::string&)> progress_;
};

}  // namespace drivebay::cli
