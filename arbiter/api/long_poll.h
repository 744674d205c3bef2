// Requests that wait: for a lease to become what its asker hopes for, or for events.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "arbiter/arbiter.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class LongPoll : public Audience {
public:
    LongPoll(Arbiter& arbiter, rpc::Reactor& reactor) : arbiter_(arbiter), reactor_(reactor) {}

    // Answers with the lease as soon as it is settled (lease_report.h), or after `limit` as it then is. 404 if unknown.
    void lease(LeaseId id, bool until_loaded, Duration limit, rpc::Reply reply);
    // Answers as soon as there is an event after `after`, or after `limit` with none.
    void events(std::uint64_t after, Duration limit, rpc::Reply reply);

    void told(const Actions& actions) override;

private:
    struct Waiter {
        bool for_lease = false;
        LeaseId lease = 0;
        bool until_loaded = false;
        std::uint64_t after = 0;
        rpc::Reply reply;
        std::unique_ptr<rpc::Timer> limit;
    };
    using Position = std::list<Waiter>::iterator;
    // Nothing while it still has to wait.
    std::optional<rpc::Response> answer(const Waiter& waiter, bool at_once) const;
    void enter(Waiter waiter, Duration limit);

    Arbiter& arbiter_;
    rpc::Reactor& reactor_;
    std::list<Waiter> waiters_;
};

}  // namespace drivebay::arbiter
