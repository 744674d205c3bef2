// drivebay-arbiterd: who may use which drive.
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "arbiter/api/api.h"
#include "arbiter/api/rights.h"
#include "arbiter/arbiter.h"
#include "arbiter/links/blade_links.h"
#include "arbiter/links/data_path_link.h"
#include "arbiter/settings.h"
#include "arbiter/store/sqlite_store.h"
#include "lib/base/log.h"
#include "lib/program/daemon.h"
#include "lib/rpc/reactor.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {
namespace {

// Ids of events start here in a term whose audit log is empty, so that they rise across rotations too.
constexpr std::uint64_t events_a_term = 1000000;

Status make_folder(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return error ? system_error(error.value(), "cannot make the folder " + path) : success();
}

Result<State> load_next_term(Store& store, const Settings& settings) {
    auto state = store.load();
    if (!state) {
        return state.error();
    }
    ++state->term;
    state->timing = settings.timing();
    Changes changes;
    changes.term = true;
    if (const Status committed = store.commit(*state, changes); !committed) {
        return committed.error();
    }
    return state;
}

class Program {
public:
    explicit Program(const Settings& settings) : settings_(settings) {}

    int run(program::Readiness& readiness) {
        if (const Status prepared = prepare(); !prepared) {
            log::error(prepared.error().message);
            return 1;
        }
        reactor_.on_signals(
            [this](int signal) {
                log::info("ending", {{"signal", signal}});
                reactor_.stop();
            },
            [this] {
                if (const Status reopened = events_->reopen(); !reopened) {
                    log::error(reopened.error().message);
                }
            });
        arbiter_->start();
        if (const Status listening = listen(); !listening) {
            log::error(listening.error().message);
            return 1;
        }
        readiness.ready(fmt::format("term {}, {} drives, {} blades, {} leases", arbiter_->state().term,
                                    arbiter_->state().drives.size(), arbiter_->state().blades.size(),
                                    arbiter_->state().leases.size()));
        log::info("ready", {{"term", arbiter_->state().term}, {"socket", settings_.socket}});
        reactor_.run();
        return exit_status_;
    }

private:
    Status prepare() {
        if (const Status made = make_folder(settings_.state_dir); !made) {
            return made;
        }
        auto store = SqliteStore::open(settings_.state_dir + "/arbiter.db");
        if (!store) {
            return store.error();
        }
        store_ = std::move(*store);
        auto state = load_next_term(*store_, settings_);
        if (!state) {
            return state.error();
        }
        auto events = EventLog::open(settings_.audit_log, state->term * events_a_term);
        if (!events) {
            return events.error();
        }
        events_ = std::move(*events);
        arbiter_ = std::make_unique<Arbiter>(reactor_, std::move(*state), *store_, *events_, [this](const std::string& why) {
            log::error("the store cannot be written, so nothing more can be promised; ending", {{"reason", why}});
            exit_status_ = 1;
            reactor_.stop();
        });
        blades_ = std::make_unique<BladeLinks>(*arbiter_);
        data_path_ = std::make_unique<DataPathLink>(*arbiter_, reactor_);
        long_poll_ = std::make_unique<LongPoll>(*arbiter_, reactor_);
        api_ = std::make_unique<Api>(*arbiter_, *data_path_, *long_poll_);
        // Fences are on their way before a blade hears of anything new.
        arbiter_->add_audience(*data_path_);
        arbiter_->add_audience(*blades_);
        arbiter_->add_audience(*long_poll_);
        return success();
    }

    Status listen() {
        server_ = std::make_unique<rpc::Server>(
            reactor_, rpc::Handlers{[this](const rpc::Request& request, const rpc::Reply& reply) {
                                        api_->handle(request, reply);
                                    },
                                    [this](const std::string& path, std::shared_ptr<rpc::Channel> channel) {
                                        accept(path, std::move(channel));
                                    }});
        std::vector<std::string> endpoints = settings_.listen;
        if (const Status made = make_folder(std::filesystem::path(settings_.socket).parent_path()); !made) {
            return made;
        }
        endpoints.insert(endpoints.begin(), settings_.socket);
        for (const std::string& text : endpoints) {
            const auto endpoint = rpc::parse_endpoint(text);
            if (!endpoint) {
                return endpoint.error();
            }
            if (Status listening = server_->listen(*endpoint); !listening) {
                return listening;
            }
        }
        return success();
    }

    void accept(const std::string& path, std::shared_ptr<rpc::Channel> channel) {
        if (path == "/v1/link/blade" && may(channel->peer(), Verb::be_a_blade)) {
            blades_->accept(std::move(channel));
        } else if (path == "/v1/link/datapath" && may(channel->peer(), Verb::be_the_data_path)) {
            data_path_->accept(std::move(channel));
        } else if (path == "/v1/link/datapath") {
            channel->close("the data path is taken from the arbiter's Unix socket only");
        } else {
            channel->close(fmt::format("there is no link at {}", log::quoted(path)));
        }
    }

    const Settings& settings_;
    int exit_status_ = 0;
    rpc::Reactor reactor_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<EventLog> events_;
    std::unique_ptr<Arbiter> arbiter_;
    std::unique_ptr<BladeLinks> blades_;
    std::unique_ptr<DataPathLink> data_path_;
    std::unique_ptr<LongPoll> long_poll_;
    std::unique_ptr<Api> api_;
    // Last: its connections, which refer to all of the above, end first.
    std::unique_ptr<rpc::Server> server_;
};

}  // namespace
}  // namespace drivebay::arbiter

int main(int argc, char** argv) {
    using namespace drivebay;
    arbiter::Settings settings;
    config::Schema schema = settings.schema();
    program::Daemon daemon;
    daemon.name = "drivebay-arbiterd";
    daemon.summary = "Decides which blade may read and which may write which drive, and lets everybody know.";
    daemon.default_config = "/etc/drivebay/arbiter.cfg";
    daemon.schema = &schema;
    daemon.run = [&settings](program::Readiness& readiness) { return arbiter::Program(settings).run(readiness); };
    return program::run_daemon(argc, argv, std::move(daemon));
}
