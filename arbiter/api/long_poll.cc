#include "arbiter/api/long_poll.h"

#include <fmt/format.h>

#include "arbiter/api/lease_report.h"
#include "arbiter/api/respond.h"

namespace drivebay::arbiter {
namespace {

constexpr std::size_t most_events = 1000;

}  // namespace

void LongPoll::lease(LeaseId id, bool until_loaded, Duration limit, rpc::Reply reply) {
    Waiter waiter;
    waiter.for_lease = true;
    waiter.lease = id;
    waiter.until_loaded = until_loaded;
    waiter.reply = std::move(reply);
    enter(std::move(waiter), limit);
}

void LongPoll::events(std::uint64_t after, Duration limit, rpc::Reply reply) {
    Waiter waiter;
    waiter.after = after;
    waiter.reply = std::move(reply);
    enter(std::move(waiter), limit);
}

void LongPoll::enter(Waiter waiter, Duration limit) {
    // Whoever can wait is not answered by what the store does not have yet; events are told when it has them.
    const bool is_promised = !waiter.for_lease || limit <= Duration::zero() || !arbiter_.store_delay();
    if (auto response = is_promised ? answer(waiter, limit <= Duration::zero()) : std::nullopt) {
        waiter.reply(std::move(*response));
        return;
    }
    waiter.limit = std::make_unique<rpc::Timer>(reactor_);
    waiters_.push_back(std::move(waiter));
    const Position position = std::prev(waiters_.end());
    position->limit->set(limit, [this, position] {
        const rpc::Reply reply = std::move(position->reply);
        auto response = answer(*position, true);
        waiters_.erase(position);
        reply(std::move(*response));
    });
}

std::optional<rpc::Response> LongPoll::answer(const Waiter& waiter, bool at_once) const {
    const State& state = arbiter_.state();
    if (waiter.for_lease) {
        const auto found = state.leases.find(waiter.lease);
        if (found == state.leases.end()) {
            return refused({404, fmt::format("there is no lease {}", waiter.lease)});
        }
        const Lease& lease = waiter.until_loaded ? latest(state, found->second) : found->second;
        if (at_once || is_settled(state, lease, waiter.until_loaded)) {
            return shown(arbiter_, report_lease(state, lease));
        }
        return std::nullopt;
    }
    const auto lines = arbiter_.events().after(waiter.after, most_events);
    if (lines.empty() && !at_once) {
        return std::nullopt;
    }
    // The lines are JSON already.
    std::string body = R"({"events":[)";
    for (const auto& line : lines) {
        body += (body.back() == '[' ? "" : ",") + line.json;
    }
    body += fmt::format("],\"last\":{}", lines.empty() ? arbiter_.events().last() : lines.back().id);
    const auto note = note_of_store(arbiter_);
    body += note ? ",\"store\":" + note->dump() + "}" : "}";
    return rpc::Response{200, std::move(body)};
}

void LongPoll::told(const Actions&) {
    for (Position position = waiters_.begin(); position != waiters_.end();) {
        auto response = answer(*position, false);
        if (!response) {
            ++position;
            continue;
        }
        const rpc::Reply reply = std::move(position->reply);
        position = waiters_.erase(position);
        reply(std::move(*response));
    }
}

}  // namespace drivebay::arbiter
