#include "arbiter/service.h"

#include <fmt/format.h>

#include <filesystem>

#include "arbiter/api/rights.h"
#include "arbiter/store/sqlite_store.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {
namespace {

// Ids of events start here in a term whose audit log is empty, so that they rise across rotations too.
constexpr std::uint64_t events_a_term = 1000000;

Status make_folder(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return error ? system_error(error.value(), "cannot make the folder " + path) : success();
}

// The state as it was kept, in a term that is kept before anybody hears of it.
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

}  // namespace

Status Service::start() {
    if (Status opened = open_store(); !opened) {
        return opened;
    }
    auto state = load_next_term(*store_, settings_);
    if (!state) {
        return state.error();
    }
    auto events = EventLog::open(settings_.audit_log, state->term * events_a_term);
    if (!events) {
        return events.error();
    }
    events_ = std::move(*events);
    arbiter_ = std::make_unique<Arbiter>(reactor_, std::move(*state), *store_, *events_, give_up_);
    blades_ = std::make_unique<BladeLinks>(*arbiter_);
    data_path_ = std::make_unique<DataPathLink>(*arbiter_, reactor_);
    long_poll_ = std::make_unique<LongPoll>(*arbiter_, reactor_);
    backups_ = std::make_unique<Backups>(*store_, arbiter_->disk());
    api_ = std::make_unique<Api>(*arbiter_, *data_path_, *long_poll_, *backups_);
    // Fences are on their way before a blade hears of anything new.
    arbiter_->add_audience(*data_path_);
    arbiter_->add_audience(*blades_);
    arbiter_->add_audience(*long_poll_);
    arbiter_->start();
    return listen();
}

Status Service::open_store() {
    if (Status made = make_folder(settings_.state_dir); !made) {
        return made;
    }
    auto store = SqliteStore::open(settings_.state_dir + "/arbiter.db");
    if (!store) {
        return store.error();
    }
    store_ = std::move(*store);
    return success();
}

Status Service::listen() {
    server_ = std::make_unique<rpc::Server>(
        reactor_,
        rpc::Handlers{[this](const rpc::Request& request, const rpc::Reply& reply) { api_->handle(request, reply); },
                      [this](const std::string& path, std::shared_ptr<rpc::Channel> channel) {
                          accept(path, std::move(channel));
                      }});
    if (Status made = make_folder(std::filesystem::path(settings_.socket).parent_path()); !made) {
        return made;
    }
    std::vector<std::string> endpoints = settings_.listen;
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

void Service::accept(const std::string& path, std::shared_ptr<rpc::Channel> channel) {
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

}  // namespace drivebay::arbiter
