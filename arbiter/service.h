// The arbiter put together: store, lease core, links, API, listeners. One reactor's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "arbiter/api/api.h"
#include "arbiter/arbiter.h"
#include "arbiter/api/enrolment.h"
#include "arbiter/links/blade_links.h"
#include "arbiter/links/data_path_link.h"
#include "arbiter/pki/registry.h"
#include "arbiter/settings.h"
#include "lib/base/denials.h"
#include "lib/rpc/reactor.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class Service {
public:
    // `give_up` is called with a sentence when nothing more can be promised; the program must end then.
    // The settings and the reactor must outlive the service.
    Service(rpc::Reactor& reactor, const Settings& settings, std::function<void(const std::string&)> give_up)
        : reactor_(reactor), settings_(settings), give_up_(std::move(give_up)) {}

    // Opens the store and the audit log, begins a new term, listens. After an error nothing of it is to be used.
    Status start();
    // The settings may have changed: what begins from now on goes by them.
    void take_settings();
    Status reopen_audit_log() { return events_->reopen(); }
    const State& state() const { return arbiter_->state(); }

private:
    Status open_store();
    Status listen();
    Status listen_on(const std::string& endpoint);
    // The TCP addresses, in TLS or, where none is wanted, plain. While there is no authority they are not listened on.
    Status listen_to_network();
    // The module's own certificates are made anew in time.
    void look_after_certificates();
    void accept(const std::string& path, std::shared_ptr<rpc::Channel> channel);

    rpc::Reactor& reactor_;
    const Settings& settings_;
    std::function<void(const std::string&)> give_up_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<EventLog> events_;
    std::unique_ptr<Arbiter> arbiter_;
    std::unique_ptr<BladeLinks> blades_;
    std::unique_ptr<DataPathLink> data_path_;
    std::unique_ptr<LongPoll> long_poll_;
    std::unique_ptr<Backups> backups_;
    std::unique_ptr<Registry> registry_;
    std::unique_ptr<Denials> denials_;
    std::unique_ptr<rpc::Timer> rest_of_denials_;
    std::unique_ptr<Enrolment> enrolment_;
    std::unique_ptr<rpc::Timer> certificates_;
    bool on_network_ = false;
    std::unique_ptr<Api> api_;
    // Last: its connections, which refer to all of the above, end first.
    std::unique_ptr<rpc::Server> server_;
};

}  // namespace drivebay::arbiter
