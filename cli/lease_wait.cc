#include "cli/lease_wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "lib/base/names.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// Restarting the arbiter must not end somebody's wait for a drive.
constexpr Duration restart_patience = 15s;
constexpr Duration pause_before_retry = 200ms;
// One round of questions; a signal is noticed within it.
constexpr std::chrono::milliseconds round_length = 1000ms;
constexpr Duration quiet_time = 2s;

std::string access_of(const json& lease) { return text_of(lease, "mode"); }

std::string subject(const json& lease) {
    return fmt::format("{} for {}", text_of(lease, "drive"), text_of(lease, "blade"));
}

const json* slot_of(const json& lease, const json& blade) {
    const auto slots = blade.find("slots");
    const auto wanted = lease.find("slot");
    if (slots == blade.end() || !slots->is_array() || wanted == lease.end()) {
        return nullptr;
    }
    const auto found = std::find_if(slots->begin(), slots->end(), [&](const json& slot) {
        return slot.is_object() && slot.contains("slot") && slot["slot"] == *wanted;
    });
    return found == slots->end() ? nullptr : &*found;
}

std::string where(const json& lease) {
    const auto slot = lease.find("slot");
    const bool is_known = slot != lease.end() && slot->is_number_integer();
    return is_known ? fmt::format("{}, slot {}", text_of(lease, "blade"), slot->get<int>()) : text_of(lease, "blade");
}

std::uint64_t epoch_of(const json& lease) {
    const auto epoch = lease.find("epoch");
    return epoch != lease.end() && epoch->is_number_unsigned() ? epoch->get<std::uint64_t>() : 0;
}

}  // namespace

std::string text_of(const json& object, const char* key) {
    const auto value = object.find(key);
    return value != object.end() && value->is_string() ? value->get<std::string>() : std::string();
}

std::string id_of(const json& lease) {
    const auto id = lease.find("id");
    return id == lease.end() ? "" : id->is_string() ? id->get<std::string>() : id->dump();
}

std::string behind_whom(const json& lease) {
    const auto behind = lease.find("behind");
    if (behind == lease.end() || !behind->is_array()) {
        return "";
    }
    std::vector<std::string> holders;
    for (const json& holder : *behind) {
        // Its own former access is on its way out already.
        if (const std::string blade = text_of(holder, "blade"); blade != text_of(lease, "blade")) {
            holders.push_back(fmt::format("{} ({})", blade == local_blade ? "the management module itself" : blade,
                                          text_of(holder, "mode")));
        }
    }
    std::string list;
    for (std::size_t i = 0; i < holders.size(); ++i) {
        list += (i == 0 ? "" : i + 1 == holders.size() ? " and " : ", ") + holders[i];
    }
    return list;
}

Verdict judge_presented(const json& lease, const json& blade) {
    const std::string state = text_of(lease, "state");
    const std::string drive = text_of(lease, "drive");
    if (state == "gone") {
        const std::string outcome = text_of(lease, "outcome");
        return {Progress::failed, outcome.empty() ? fmt::format("{} was withdrawn meanwhile", subject(lease)) : outcome};
    }
    if (state == "held" && text_of(lease, "slot_state") == "loaded") {
        return {Progress::done, fmt::format("{} is loaded on {} ({}, epoch {})", drive, where(lease), access_of(lease),
                                            epoch_of(lease))};
    }
    if (state == "waiting") {
        if (const std::string holders = behind_whom(lease); !holders.empty()) {
            return {Progress::queued, fmt::format("{} waits behind {}", subject(lease), holders)};
        }
    }
    const bool is_offline = blade.is_object() && blade.value("online", true) == false;
    if ((state == "held" || state == "waiting") && is_offline) {
        return {Progress::offline, fmt::format("{} is offline: {} will be loaded when the blade connects",
                                               text_of(lease, "blade"), drive)};
    }
    if (state == "held" && text_of(lease, "slot_state") == "error" && !text_of(lease, "outcome").empty()) {
        return {Progress::failed,
                fmt::format("{} could not load {}: {}", where(lease), drive, text_of(lease, "outcome"))};
    }
    if (state == "held") {
        const json* slot = blade.is_object() ? slot_of(lease, blade) : nullptr;
        const bool is_ours = slot && text_of(*slot, "drive") == drive;
        if (is_ours && text_of(*slot, "state") == "error") {
            const std::string reason = text_of(*slot, "error");
            return {Progress::failed, fmt::format("{} could not load {}: {}", where(lease), drive,
                                                  reason.empty() ? "its log says why" : reason)};
        }
        if (is_ours && text_of(*slot, "state") == "offline") {
            return {Progress::pending, fmt::format("{} cannot reach the data of {}", where(lease), drive)};
        }
        return {Progress::pending, fmt::format("{} is being loaded on {}", drive, where(lease))};
    }
    if (state == "waiting") {
        return {Progress::pending, fmt::format("{} is being granted", subject(lease))};
    }
    return {Progress::pending, fmt::format("{} is being revoked", subject(lease))};
}

Verdict judge_withdrawn(const json& lease) {
    const std::string state = text_of(lease, "state");
    const std::string outcome = text_of(lease, "outcome");
    if (state == "gone") {
        const std::string more = outcome.empty() ? "" : fmt::format(": {}", outcome);
        return {Progress::done, fmt::format("{} is withdrawn from {}{}", text_of(lease, "drive"),
                                            text_of(lease, "blade"), more)};
    }
    if (state == "held") {
        return {Progress::failed, outcome.empty() ? fmt::format("{} was not withdrawn; its blade still holds it",
                                                                subject(lease))
                                                  : outcome};
    }
    return {Progress::pending, fmt::format("{} is being withdrawn", subject(lease))};
}

bool LeaseWait::is_final(const Entry& entry) const {
    switch (entry.verdict.progress) {
        case Progress::pending: return false;
        case Progress::queued: return !stays_in_queue_;
        case Progress::offline: return !stays_for_blades_;
        case Progress::done:
        case Progress::failed: return true;
    }
    return true;
}

Result<json> LeaseWait::patiently(const std::function<Result<json>()>& request) const {
    const Instant until = BootClock::now() + restart_patience;
    for (;;) {
        Result<json> answer = request();
        const bool may_come_back = !answer && answer.error().code == unreachable;
        if (!may_come_back || BootClock::now() >= until || is_over()) {
            return answer;
        }
        std::this_thread::sleep_for(pause_before_retry);
    }
}

Result<json> LeaseWait::post_patiently(const std::string& target, const json& body) {
    if (Result<json> there = arbiter_.get("/v1/status"); !there) {
        return there;
    }
    return patiently([&] { return arbiter_.post(target, body); });
}

Status LeaseWait::judge(Entry& entry) {
    if (until_ == Until::gone) {
        entry.verdict = judge_withdrawn(entry.lease);
        return success();
    }
    entry.verdict = judge_presented(entry.lease, nullptr);
    if (entry.verdict.progress == Progress::pending) {
        const std::string target = "/v1/blades/" + text_of(entry.lease, "blade");
        Result<json> blade = patiently([&] { return arbiter_.get(target); });
        if (!blade) {
            return blade.error();
        }
        entry.verdict = judge_presented(entry.lease, *blade);
    }
    return success();
}

Status LeaseWait::ask(Entry& entry, std::chrono::milliseconds wait) {
    const std::string target = fmt::format("/v1/leases/{}?wait_ms={}&until={}", id_of(entry.lease), wait.count(),
                                           until_ == Until::loaded ? "loaded" : "gone");
    Result<json> lease = patiently([&] { return arbiter_.get(target); });
    if (lease) {
        entry.lease = *lease;
        return judge(entry);
    }
    if (lease.error().code != refused) {
        return lease.error();
    }
    // Leases that are long gone are forgotten: only their ids are unknown.
    entry.lease["state"] = "gone";
    return judge(entry);
}

Result<std::vector<LeaseWait::Entry>> LeaseWait::run(const json& leases) {
    const Instant begin = BootClock::now();
    std::vector<Entry> entries;
    for (const json& lease : leases) {
        entries.push_back({lease, {}});
        if (Status judged = judge(entries.back()); !judged) {
            return judged.error();
        }
    }
    std::vector<std::string> told(entries.size());
    for (;;) {
        const auto open = std::count_if(entries.begin(), entries.end(), [this](const Entry& e) { return !is_final(e); });
        if (open == 0 || is_over()) {
            return entries;
        }
        const bool may_tell = progress_ && BootClock::now() - begin >= quiet_time;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            Entry& entry = entries[i];
            if (may_tell && entry.verdict.sentence != told[i]) {
                told[i] = entry.verdict.sentence;
                progress_(told[i]);
            }
            if (is_final(entry)) {
                continue;
            }
            std::chrono::milliseconds wait = round_length / open;
            if (deadline_) {
                const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - BootClock::now());
                wait = std::clamp(left, 0ms, wait);
            }
            if (Status asked = ask(entry, wait); !asked) {
                return asked.error();
            }
        }
    }
}

}  // namespace drivebay::cli
