#include "arbiter/service.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "arbiter/store/sqlite_store.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {
namespace {

// Ids of events start here in a term whose audit log is empty, so that they rise across rotations too.
constexpr std::uint64_t events_a_term = 1000000;

WallSeconds wall_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Status make_folder(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return error ? system_error(error.value(), "cannot make the folder " + path) : success();
}

AuditEntry audit_entry(const Denial& denial) {
    AuditEntry entry;
    entry.event = "denied";
    entry.detail = fmt::format("{} ({}) asked for {}: {}", denial.identity.empty() ? "nobody known" : denial.identity, denial.peer,
                               log::quoted(denial.asked), denial.reason);
    return entry;
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
    denials_ = std::make_unique<Denials>([this](const Denial& denial) { arbiter_->note(audit_entry(denial)); });
    rest_of_denials_ = std::make_unique<rpc::Timer>(reactor_);
    denials_->use_timer([this](Duration after) { rest_of_denials_->set(after, [this] { denials_->tell_rest(); }); });
    blades_ = std::make_unique<BladeLinks>(*arbiter_, *denials_);
    data_path_ = std::make_unique<DataPathLink>(*arbiter_, *denials_, reactor_);
    long_poll_ = std::make_unique<LongPoll>(*arbiter_, reactor_);
    backups_ = std::make_unique<Backups>(*store_, arbiter_->disk());
    registry_ = std::make_unique<Registry>(settings_.state_dir + "/pki");
    if (Status loaded = registry_->load(wall_now()); !loaded) {
        return loaded;
    }
    Enrolment::Callbacks enrolment;
    enrolment.on_certificates = [this] {
        if (Status listening = listen_to_network(); !listening) {
            log::error(listening.error().message);
        }
    };
    enrolment.on_revoked = [this](const Enrolment::IsOut& is_out) { server_->cut(is_out, "the certificate was revoked"); };
    enrolment_ = std::make_unique<Enrolment>(*arbiter_, *registry_, *denials_, std::move(enrolment));
    certificates_ = std::make_unique<rpc::Timer>(reactor_);
    api_ = std::make_unique<Api>(*arbiter_, *data_path_, *long_poll_, *backups_, *enrolment_, *denials_);
    api_->set_allowances(Allowances(settings_.allow));
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

void Service::take_settings() {
    arbiter_->set_timing(settings_.timing());
    api_->set_allowances(Allowances(settings_.allow));
}

Status Service::listen() {
    server_ = std::make_unique<rpc::Server>(
        reactor_,
        rpc::Handlers{[this](const rpc::Request& request, const rpc::Reply& reply) { api_->handle(request, reply); },
                      [this](const std::string& path, std::shared_ptr<rpc::Channel> channel) {
                          accept(path, std::move(channel));
                      },
                      [this](const rpc::Peer& peer, const std::string& identity, const std::string& reason) {
                          denials_->note({peer.address, identity, "a connection", reason});
                      }});
    if (Status made = make_folder(std::filesystem::path(settings_.socket).parent_path()); !made) {
        return made;
    }
    if (Status listening = listen_on(settings_.socket); !listening) {
        return listening;
    }
    look_after_certificates();
    return listen_to_network();
}

Status Service::listen_on(const std::string& text) {
    const auto endpoint = rpc::parse_endpoint(text);
    return endpoint ? server_->listen(*endpoint) : Status(endpoint.error());
}

Status Service::listen_to_network() {
    std::string notice;
    if (settings_.listen.empty()) {
        notice = "";
    } else if (!settings_.is_enrolled()) {
        notice = "security is \"none\": whoever reaches the port is believed";
    } else if (!registry_->is_there()) {
        notice = "the TCP addresses are not listened on: there is no authority yet; make one with: drivebay pki init";
    } else {
        auto context = tls::Context::server(registry_->files(), tls::Context::Clients::may_identify);
        if (!context) {
            return context.error();
        }
        server_->use_tls(std::move(*context));
    }
    api_->tell_security(settings_.security, notice);
    if (!notice.empty()) {
        log::warning(notice);
    }
    if (on_network_ || (settings_.is_enrolled() && !registry_->is_there())) {
        return success();
    }
    for (const std::string& text : settings_.listen) {
        if (Status listening = listen_on(text); !listening) {
            return listening;
        }
    }
    on_network_ = true;
    return success();
}

void Service::look_after_certificates() {
    certificates_->set(std::chrono::hours(6), [this] {
        if (registry_->is_there()) {
            const Status made = registry_->renew_own(wall_now());
            const Status listening = made ? listen_to_network() : made;
            if (!listening) {
                log::error("the module's certificates are not looked after", {{"reason", listening.error().message}});
            }
        }
        look_after_certificates();
    });
}

void Service::accept(const std::string& path, std::shared_ptr<rpc::Channel> channel) {
    if (path == "/v1/link/blade") {
        blades_->accept(std::move(channel));
    } else if (path == "/v1/link/datapath" && channel->peer().local) {
        data_path_->accept(std::move(channel));
    } else if (path == "/v1/link/datapath") {
        denials_->note({channel->peer().address, channel->peer().identity, path, "the data path comes by the Unix socket only"});
        channel->close("the data path is taken from the arbiter's Unix socket only");
    } else {
        channel->close(fmt::format("there is no link at {}", log::quoted(path)));
    }
}

}  // namespace drivebay::arbiter
