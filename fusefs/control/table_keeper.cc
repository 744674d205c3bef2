#include "fusefs/control/table_keeper.h"

#include <cerrno>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay {

using namespace std::chrono_literals;

TableKeeper::TableKeeper(rpc::Reactor& reactor, rpc::Endpoint arbiter, AdmissionTable table, std::string boot_id,
                         Callbacks callbacks)
    : reactor_(reactor),
      arbiter_(std::move(arbiter)),
      table_(std::move(table)),
      boot_id_(std::move(boot_id)),
      callbacks_(std::move(callbacks)),
      again_(reactor) {
    for (const auto& [key, row] : table_.state().admissions) {
        announced_.insert(key);
    }
}

TableKeeper::~TableKeeper() = default;

void TableKeeper::start() {
    ArbiterLink::Callbacks callbacks;
    callbacks.hello = [this] { return hello(); };
    callbacks.table = [this](const protocol::Table& table) { return take(table); };
    callbacks.probe = [this](const protocol::Probe& probe) { callbacks_.probe(probe); };
    link_ = std::make_unique<ArbiterLink>(reactor_, arbiter_, std::move(callbacks));
}

protocol::DataPathHello TableKeeper::hello() const {
    const TableState& state = table_.state();
    protocol::DataPathHello hello;
    hello.boot_id = boot_id_;
    hello.term = state.term;
    hello.floors = state.floors;
    for (const auto& [key, row] : state.admissions) {
        if (row.admission.blade != local_blade) {
            hello.admitted.push_back(row.admission);
        } else {
            hello.local.push_back({row.admission.drive, row.admission.epoch, row.revoking});
        }
    }
    return hello;
}

Status TableKeeper::commit(TableState next) {
    Status committed = table_.commit(std::move(next));
    if (!committed) {
        log::error("the table of admissions cannot be written", {{"reason", committed.error().message}});
        return committed;
    }
    std::erase_if(announced_, [&](const Admitted& key) { return !table_.state().admissions.contains(key); });
    callbacks_.apply(table_.state());
    return committed;
}

Status TableKeeper::take(const protocol::Table& table) {
    std::vector<Refusal> refused;
    Result<TableState> next = apply_table(table_.state(), table, refused);
    if (!next) {
        return next.error();
    }
    if (table.version < version_) {
        return success();  // late: a newer one is in force
    }
    if (Status committed = commit(std::move(*next)); !committed) {
        return committed;
    }
    version_ = table.version;
    std::set<std::pair<Admission, std::string>> told;
    for (const Refusal& refusal : refused) {
        const auto entry = told.emplace(refusal.admission, refusal.why).first;
        if (!told_refusals_.contains(*entry)) {
            log::warning("not admitted", {{"drive", refusal.admission.drive},
                                          {"blade", refusal.admission.blade},
                                          {"epoch", refusal.admission.epoch},
                                          {"reason", refusal.why}});
        }
    }
    told_refusals_ = std::move(told);
    observe();
    return success();
}

void TableKeeper::report(ServedReport report) {
    report_ = std::move(report);
    for (const Admission& admission : report_.open_views) {
        announced_.emplace(admission.drive, admission.epoch);
    }
    observe();
}

void TableKeeper::fenced(const protocol::Fenced& fenced) {
    TableState next = table_.state();
    record_fenced(next, fenced);
    if (!commit(std::move(next))) {
        // Not durable is not fenced: the arbiter waits until the table can be written again.
        return try_again([this, fenced] { this->fenced(fenced); });
    }
    if (const auto release = releasing_.extract({fenced.drive, fenced.epoch})) {
        link_->send(protocol::LocalRelease{fenced.drive, fenced.epoch});
        release.mapped()();
    }
    observe();
}

bool TableKeeper::mark_writes(const std::string& drive, std::uint64_t generation, bool set) {
    TableState next = table_.state();
    drivebay::mark_writes(next, drive, generation, set);
    return commit(std::move(next)).ok();
}

void TableKeeper::try_again(std::function<void()> attempt) {
    attempts_.push_back(std::move(attempt));
    again_.set(1s, [this] {
        for (const std::function<void()>& due : std::exchange(attempts_, {})) {
            due();
        }
    });
}

void TableKeeper::observe() {
    protocol::DataPathObserved observed;
    observed.version = version_;
    observed.drives = report_.drives;
    observed.counters = report_.counters;
    for (const auto& [key, row] : table_.state().admissions) {
        if (!row.revoking && row.admission.blade != local_blade && announced_.contains(key)) {
            observed.admitted.push_back(row.admission);
        }
    }
    for (const auto& [key, fenced] : table_.state().fenced) {
        observed.fenced.push_back(fenced);
    }
    link_->send(observed);
}

void TableKeeper::probed(const protocol::Probed& probed) { link_->send(probed); }

void TableKeeper::denied(const protocol::Denied& denied) { link_->send(denied); }

void TableKeeper::acquire_local(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback) {
    link_->acquire_local(drive, mode, [this, drive, mode, callback = std::move(callback)](Result<Epoch> epoch) {
        if (epoch) {
            epoch = take_local({drive, std::string(local_blade), mode, *epoch});
        }
        callback(std::move(epoch));
    });
}

Result<Epoch> TableKeeper::take_local(const Admission& admission) {
    TableState next = table_.state();
    Status taken = admit(next, admission);
    if (taken) {
        taken = commit(std::move(next));
    }
    if (!taken) {
        log::warning("a local lease was granted but cannot be admitted",
                     {{"drive", admission.drive}, {"epoch", admission.epoch}, {"reason", taken.error().message}});
        // One that is just being closed is released when its fence is done, not before.
        if (!table_.state().admissions.contains({admission.drive, admission.epoch})) {
            link_->send(protocol::LocalRelease{admission.drive, admission.epoch});
        }
        return Error{EIO, "the arbiter granted " + log::quoted(admission.drive) + ", but " + taken.error().message};
    }
    return admission.epoch;
}

void TableKeeper::release_local(const std::string& drive, Epoch epoch, std::function<void()> released) {
    TableState next = table_.state();
    if (!revoke(next, {drive, std::string(local_blade), epoch})) {
        link_->send(protocol::LocalRelease{drive, epoch});
        return released();
    }
    releasing_[{drive, epoch}] = std::move(released);
    if (!commit(std::move(next))) {
        try_again([this, drive, epoch] {
            if (const auto release = releasing_.extract({drive, epoch})) {
                release_local(drive, epoch, release.mapped());
            }
        });
    }
}

}  // namespace drivebay
