#include "fusefs/control/data_path.h"


#include <cerrno>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "fusefs/control/table_keeper.h"
#include "fusefs/engine/management_catalogue.h"
#include "fusefs/engine/served_drives.h"
#include "fusefs/loop/worker_pool.h"
#include "fusefs/nbd_server/nbd_listener.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/tls/certificates.h"
#include "lib/tls/folder.h"

namespace drivebay {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t worker_threads = 16;
constexpr Duration report_interval = 1s;
// A revoked certificate's connections end within a second.
constexpr Duration certificates_interval = 250ms;

// A flush through a view's gate; owns itself until it is answered.
struct ViewFlush {
    IoRequest request;
    std::shared_ptr<AdmittedView> view;
    std::function<void(int)> callback;
};

void flush(std::shared_ptr<AdmittedView> view, std::function<void(int)> callback) {
    auto flush = std::make_unique<ViewFlush>();
    flush->view = std::move(view);
    flush->callback = std::move(callback);
    flush->request.operation = IoOperation::flush;
    flush->request.context = flush.get();
    flush->request.done = [](IoRequest& request, int error) {
        const std::unique_ptr<ViewFlush> done(static_cast<ViewFlush*>(request.context));
        done->callback(error);
    };
    AdmittedView& target = *flush->view;
    target.submit(flush.release()->request);
}

}  // namespace

struct DataPath::Impl final : LocalLeases, DrainSource {
    Impl(EventLoop& the_loop, rpc::Reactor& the_reactor, DataPathSettings the_settings)
        : loop(the_loop),
          reactor(the_reactor),
          settings(std::move(the_settings)),
          workers(loop, "worker", worker_threads) {}

    EventLoop& loop;
    rpc::Reactor& reactor;
    const DataPathSettings settings;
    const std::string boot_id = kernel_boot_id();

    BufferPool buffers;
    std::unique_ptr<TableKeeper> keeper;  // the reactor's; everything else is the loop's
    std::unique_ptr<ServedDrives> drives;
    std::unique_ptr<ManagementCatalogue> catalogue;
    std::unique_ptr<nbd::NbdListener> nbd;
    ServedReport reported;
    EventLoop::TimerId report_timer = 0;
    EventLoop::TimerId certificates_timer = 0;
    std::string certificates_seen;      // of which files; those in use
    std::string authority;              // its fingerprint
    std::string certificates_trouble;   // only changes are logged
    std::optional<tls::Revocations> revocations;
    std::set<std::string> listening;  // TCP addresses
    bool on_network = false;
    bool stopping = false;
    // Last, so that its threads end while everything they work on is there.
    WorkerPool workers;

    Status start();
    void report_if_changed();
    void report_each_second();
    void look_at_certificates();
    Status use_certificates();
    Status listen_to_network();
    void stop(std::function<void()> stopped);

    void acquire(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback) override;
    void release(const std::string& drive, Epoch epoch, std::function<void()> released) override;
    void drain(const std::string& drive, const std::string& blade, Epoch epoch,
               std::function<void(DrainAnswer)> callback) override;
    ServiceStatus status() override;
};

Status DataPath::Impl::start() {
    Result<AdmissionTable> table = AdmissionTable::open(settings.state_dir + "/table.db", settings.open_here);
    if (!table) {
        return table.error();
    }
    const TableState state = table->state();

    ServedDrives::Settings served;
    served.boot_id = boot_id;
    served.trust_reconnect = settings.trust_reconnect;
    served.policies = settings.policies;
    served.changed = [this] { report_if_changed(); };
    served.fenced = [this](const protocol::Fenced& fenced) {
        reactor.post([this, fenced] { keeper->fenced(fenced); });
    };
    served.mark_writes = [this](const std::string& drive, std::uint64_t generation, bool set,
                                std::function<void(bool)> done) {
        reactor.post([this, drive, generation, set, done = std::move(done)] {
            loop.post([done, durable = keeper->mark_writes(drive, generation, set)] { done(durable); });
        });
    };
    drives = std::make_unique<ServedDrives>(AioResources{loop, workers, buffers}, std::move(served));
    catalogue = std::make_unique<ManagementCatalogue>(*drives, *this);

    TableKeeper::Callbacks callbacks;
    callbacks.apply = [this](TableState next) {
        loop.post([this, next = std::move(next)] { drives->apply(next); });
    };
    callbacks.probe = [this](const protocol::Probe& probe) {
        loop.post([this, probe] {
            drives->probe(probe, [this](const protocol::Probed& probed) {
                reactor.post([this, probed] { keeper->probed(probed); });
            });
        });
    };
    keeper = std::make_unique<TableKeeper>(reactor, settings.arbiter, std::move(*table), boot_id, std::move(callbacks));

    nbd::NbdListener::Limits limits;
    limits.connections = settings.nbd_connections;
    nbd::NbdListener::Tls tls;
    tls.required = settings.tls_required || !settings.pki.empty();
    tls.wants_identity = !settings.pki.empty();
    tls.denied = [this](const Denial& denial) {
        reactor.post([this, denial] { keeper->denied({denial.peer, denial.identity, denial.asked, denial.reason}); });
    };
    if (!settings.tls.certificate.empty()) {
        auto context = tls::Context::server(settings.tls, tls::Context::Clients::anybody);
        if (!context) {
            return context.error();
        }
        tls.context = std::move(*context);
    }
    nbd = std::make_unique<nbd::NbdListener>(loop, buffers, *catalogue, limits, std::move(tls));
    // Before the first client is heard: to one that comes back after a restart, an epoch that is not there yet would be
    // one that has ended for ever.
    drives->apply(state);
    for (const rpc::Endpoint& endpoint : settings.nbd_listeners) {
        if (!endpoint.is_unix() && !settings.pki.empty()) {
            continue;
        }
        if (Status listens = nbd->listen(endpoint); !listens) {
            return listens;
        }
    }
    if (!settings.pki.empty()) {
        revocations.emplace(settings.pki + "/revoked");
        look_at_certificates();
    }
    keeper->start();
    report_each_second();
    return success();
}

void DataPath::Impl::report_if_changed() {
    ServedReport now = drives->report();
    if (now != reported) {
        reported = now;
        reactor.post([this, now = std::move(now)]() mutable { keeper->report(std::move(now)); });
    }
}

void DataPath::Impl::report_each_second() {
    report_if_changed();
    report_timer = loop.call_after(report_interval, [this] { report_each_second(); });
}

// The arbiter's files, and not a word of its, say who is in: it works as well while there is no arbiter.
void DataPath::Impl::look_at_certificates() {
    certificates_timer = loop.call_after(certificates_interval, [this] { look_at_certificates(); });
    Status usable = use_certificates();
    if (!usable) {
        nbd->suspend_tls();
    } else if (!on_network) {
        usable = listen_to_network();
    }
    const std::string trouble = usable ? "" : usable.error().message;
    if (std::exchange(certificates_trouble, trouble) != trouble && !trouble.empty()) {
        log::warning(trouble);
    }
    if (revocations->is_new() && on_network) {
        nbd->end_revoked(*revocations);
    }
}

// What was seen is remembered only once it is in use: the files are written one after the other, and this may fall between two.
Status DataPath::Impl::use_certificates() {
    const std::string own = settings.pki + "/nbd-cert.pem";
    const std::string signer = settings.pki + "/ca-cert.pem";
    const auto versions = [&] { return tls::version_of(own) + " " + tls::version_of(signer); };
    const std::string seen = versions();
    if (seen == certificates_seen) {
        return success();
    }
    certificates_seen.clear();
    if (seen.find("none") != std::string::npos) {
        return Error{ENOENT, "NBD's TCP clients are not heard: there is no certificate in " + settings.pki +
                                 "; make one with: drivebay pki init"};
    }
    auto context = tls::Context::server({own, own, signer, settings.pki + "/revoked"}, tls::Context::Clients::must_identify);
    const auto text = tls::read_text(signer);
    const auto certificate = text ? tls::certificate_from_pem(*text) : Result<tls::Certificate>(text.error());
    if (!context || !certificate) {
        return context ? certificate.error() : context.error();
    }
    if (versions() != seen) {
        return Error{EAGAIN, "NBD's TCP clients are not heard while the certificates in " + settings.pki + " change"};
    }
    const std::string now = tls::fingerprint(certificate->get());
    if (const std::string before = std::exchange(authority, now); !before.empty() && before != now) {
        nbd->end_network("there is another authority");
    }
    nbd->use_tls(std::move(*context));
    certificates_seen = seen;
    return success();
}

Status DataPath::Impl::listen_to_network() {
    for (const rpc::Endpoint& endpoint : settings.nbd_listeners) {
        if (endpoint.is_unix() || listening.contains(rpc::to_string(endpoint))) {
            continue;
        }
        if (Status listens = nbd->listen(endpoint); !listens) {
            return listens;
        }
        listening.insert(rpc::to_string(endpoint));
    }
    on_network = true;
    return success();
}

void DataPath::Impl::stop(std::function<void()> stopped) {
    if (std::exchange(stopping, true)) {
        return;
    }
    loop.cancel(report_timer);
    loop.cancel(certificates_timer);
    // The clients first: an answer of an ended view would tell them that their epoch is over, and it is not.
    nbd->stop([this, stopped = std::move(stopped)] { drives->stop(stopped); });
}

void DataPath::Impl::acquire(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback) {
    reactor.post([this, drive, mode, callback = std::move(callback)] {
        keeper->acquire_local(drive, mode, [this, callback](Result<Epoch> epoch) {
            // The keeper has posted the table with this admission before: the view is there when this runs.
            loop.post([callback, epoch = std::move(epoch)] { callback(epoch); });
        });
    });
}

void DataPath::Impl::release(const std::string& drive, Epoch epoch, std::function<void()> released) {
    reactor.post([this, drive, epoch, released = std::move(released)] {
        keeper->release_local(drive, epoch, [this, released] { loop.post(released); });
    });
}

void DataPath::Impl::drain(const std::string& drive, const std::string& blade, Epoch epoch,
                           std::function<void(DrainAnswer)> callback) {
    const ServedDrive* const served = drives->find(drive);
    const std::shared_ptr<AdmittedView> view = served == nullptr ? nullptr : served->view(epoch);
    if (!view || view->info().admission.blade != blade) {
        return callback({protocol::Outcome::unknown, "there is no view of " + log::quoted(drive) + " for " +
                                                         log::quoted(blade) + " with epoch " + std::to_string(epoch),
                         false});
    }
    view->when_unused([view, callback = std::move(callback)] {
        flush(view, [view, callback](int error) {
            if (error == 0) {
                callback({protocol::Outcome::drained, "", view->was_opened()});
            } else if (error == ESHUTDOWN) {
                callback({protocol::Outcome::lost, "the epoch was ended before it was drained"});
            } else {
                callback({protocol::Outcome::lost, system_error(error, "the drive could not be flushed").message});
            }
        });
    });
}

ServiceStatus DataPath::Impl::status() {
    ServiceStatus status;
    status.role = "management";
    for (const auto& [name, drive] : drives->drives()) {
        const std::string failure = drive->failure();
        DriveStatus facts;
        facts.name = name;
        facts.source = drive->row() == nullptr ? "" : drive->row()->drive.source;
        facts.state = !failure.empty() ? "failed" : drive->is_open() ? "ready" : "opening";
        facts.size = drive->geometry().size;
        facts.error = failure;
        status.drives.push_back(std::move(facts));
        for (const auto& [epoch, view] : drive->views()) {
            ViewStatus sight;
            sight.admission = view->info().admission;
            sight.state = view->ended()      ? ViewStatus::State::ended
                          : failure.empty() ? ViewStatus::State::online
                                            : ViewStatus::State::offline;
            sight.in_flight = view->in_flight();
            sight.handles = view->handles();
            sight.counters = view->counters();
            status.views.push_back(std::move(sight));
        }
    }
    return status;
}

DataPath::DataPath(EventLoop& loop, rpc::Reactor& reactor, DataPathSettings settings)
    : impl_(std::make_unique<Impl>(loop, reactor, std::move(settings))) {}

DataPath::~DataPath() = default;

Status DataPath::start() { return impl_->start(); }

Catalogue& DataPath::catalogue() { return *impl_->catalogue; }

DrainSource& DataPath::drain_source() { return *impl_; }

void DataPath::stop(std::function<void()> stopped) { impl_->stop(std::move(stopped)); }

}  // namespace drivebay
