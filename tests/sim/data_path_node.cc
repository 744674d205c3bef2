#include "tests/sim/data_path_node.h"

#include <cerrno>

#include "lib/base/names.h"
#include "lib/base/planted_bug.h"

namespace drivebay::sim {

using namespace std::chrono_literals;

Duration DataPathNode::disk_latency() {
    return weather_.strikes(40) ? weather_.between(50ms, 2500ms) : weather_.between(100us, 6ms);
}

// ---- life

void DataPathNode::started() {
    weather_.trace("drivebayfs starts");
    table_ = disk_;
    version_ = 0;
    for (const auto& [key, row] : table_.admissions) {
        announced_.insert(key);
    }
    TableState next = table_;
    revoke_local(next, {});
    commit(std::move(next));
}

// What the kernel has been given completes before the process is gone, and a successor can open the drive only then.
void DataPathNode::killed() {
    weather_.trace("drivebayfs dies with {} requests in flight", in_flight_.size());
    for (const auto& [id, io] : std::exchange(in_flight_, {})) {
        apply(io);
    }
    opened_.clear();
    opening_.clear();
    views_.clear();
    announced_.clear();
    fencing_.clear();
    releasing_.clear();
    clients_.clear();
    local_.clear();
    asked_ = 0;
    links_.died();
}

void DataPathNode::power_cut() {
    weather_.trace("the management module loses power");
    in_flight_.clear();
    kill();
    ledger_.power_cut([this] { return weather_.chance(50); });
    ++boots_;
}

// ---- the table

protocol::DataPathHello DataPathNode::hello() const {
    protocol::DataPathHello hello;
    hello.boot_id = fmt::format("boot {}", boots_);
    hello.term = table_.term;
    hello.floors = table_.floors;
    for (const auto& [key, row] : table_.admissions) {
        if (row.admission.blade != local_blade) {
            hello.admitted.push_back(row.admission);
        } else {
            hello.local.push_back({row.admission.drive, row.admission.epoch, row.revoking});
        }
    }
    return hello;
}

void DataPathNode::commit(TableState next) {
    if (weather_.strikes(2)) {
        return kill();
    }
    if (planted(PlantedBug::revoking_not_durable)) {
        TableState kept = next;
        for (auto& [key, row] : kept.admissions) {
            row.revoking = false;
        }
        ledger_.table_is_durable(disk_, next);
        disk_ = std::move(kept);
    } else if (planted(PlantedBug::admitted_table_not_durable)) {
        ledger_.table_is_durable(table_, next);
        disk_.term = next.term;
    } else {
        ledger_.table_is_durable(disk_, next);
        disk_ = next;
    }
    table_ = std::move(next);
    std::erase_if(announced_, [this](const Key& key) { return !table_.admissions.contains(key); });
    if (weather_.strikes(2)) {
        return kill();
    }
    after(0ms, [this] { bring_about(); });
}

bool DataPathNode::take(const protocol::Table& table) {
    std::vector<Refusal> refused;
    auto next = apply_table(table_, table, refused);
    if (!next) {
        weather_.trace("drivebayfs refuses a table: {}", next.error().message);
        return false;
    }
    if (table.version < version_ && !planted(PlantedBug::no_term_check)) {
        return true;  // late: a newer one is in force
    }
    for (const Refusal& refusal : refused) {
        weather_.trace("drivebayfs does not admit {}@{} of {}: {}", refusal.admission.drive, refusal.admission.epoch,
                       refusal.admission.blade, refusal.why);
    }
    commit(std::move(*next));
    if (alive()) {
        ledger_.obeyed("drivebayfs", table.term, 0);
        version_ = table.version;
        observe();
    }
    return true;
}

void DataPathNode::bring_about() {
    for (const auto& [name, row] : table_.drives) {
        const auto opened = opened_.find(name);
        const bool stale = opened != opened_.end() && opened->second != row.drive.generation;
        bool in_use = false;
        for (const auto& [key, view] : views_) {
            in_use = in_use || key.first == name;
        }
        if ((opened == opened_.end() || (stale && !in_use)) && opening_.insert(name).second) {
            open_drive(name, row.drive.generation);
        }
    }
    for (const auto& [key, row] : std::map(table_.admissions)) {
        if (row.revoking && opened_.contains(key.first) && fencing_.insert(key).second) {
            begin_fence(row.admission);
        }
    }
    open_views();
}

void DataPathNode::open_drive(const std::string& name, std::uint64_t generation) {
    opened_.erase(name);
    after(weather_.between(1ms, weather_.strikes(50) ? 1500ms : 30ms), [this, name, generation] {
        opening_.erase(name);
        opened_[name] = generation;
        bring_about();
        observe();
    });
}

void DataPathNode::open_views() {
    bool changed = false;
    for (const auto& [key, row] : table_.admissions) {
        if (row.revoking || !opened_.contains(key.first) || views_.contains(key)) {
            continue;
        }
        auto view = std::make_shared<View>();
        view->admission = row.admission;
        views_.emplace(key, std::move(view));
        announced_.insert(key);
        changed = true;
    }
    if (changed) {
        observe();
    }
}

void DataPathNode::begin_fence(const Admission& admission) {
    const auto found = views_.find({admission.drive, admission.epoch});
    if (found == views_.end()) {
        return drained(admission);
    }
    for (auto& [connection, client] : clients_) {
        if (client.view.lock() == found->second) {
            client.shut = true;
        }
    }
    ledger_.gate_closed(holding(admission));
    found->second->gate.close([this, admission] { after(0ms, [this, admission] { drained(admission); }); });
}

void DataPathNode::drained(const Admission& admission) {
    weather_.trace("drivebayfs has drained {}@{} of {}", admission.drive, admission.epoch, admission.blade);
    const protocol::Fenced fenced{admission.drive, admission.blade, admission.epoch, true, ""};
    if (admission.mode == Mode::read || planted(PlantedBug::fenced_without_flush)) {
        return finish_fence(fenced);
    }
    after(disk_latency(), [this, fenced, promise = ledger_.promise(admission.drive)] {
        ledger_.flushed(fenced.drive, promise);
        finish_fence(fenced);
    });
}

void DataPathNode::finish_fence(const protocol::Fenced& fenced) {
    const Key key{fenced.drive, fenced.epoch};
    if (const auto view = views_.extract(key)) {
        for (auto& [connection, client] : std::map(clients_)) {
            if (client.view.lock() == view.mapped() && client.in_flight == 0) {
                shut(connection);
            }
        }
    }
    TableState next = table_;
    record_fenced(next, fenced);
    commit(std::move(next));
    if (!alive()) {
        return;
    }
    fencing_.erase(key);
    ledger_.fenced({fenced.blade, fenced.drive, fenced.epoch}, fenced.flushed);
    if (releasing_.erase(key) > 0) {
        links_.arbiter(protocol::LocalRelease{fenced.drive, fenced.epoch});
    }
    observe();
}

void DataPathNode::observe() {
    protocol::DataPathObserved observed;
    observed.version = version_;
    for (const auto& [name, generation] : opened_) {
        observed.drives.push_back({name, generation, protocol::DriveState::ready, 1 << 20, 512, ""});
    }
    for (const auto& [key, row] : table_.admissions) {
        if (!row.revoking && row.admission.blade != local_blade && announced_.contains(key)) {
            observed.admitted.push_back(row.admission);
        }
    }
    for (const auto& [key, fenced] : table_.fenced) {
        observed.fenced.push_back(fenced);
    }
    links_.arbiter(std::move(observed));
}

// ---- NBD

void DataPathNode::connect(Connection connection, const Holding& wanted, std::uint64_t instance) {
    Key key{wanted.drive, wanted.epoch};
    if (planted(PlantedBug::handle_without_epoch)) {
        for (const auto& [other, row] : table_.admissions) {
            if (other.first == wanted.drive && row.admission.blade == wanted.blade && !row.revoking) {
                key = other;
            }
        }
    }
    const auto row = table_.admissions.find(key);
    if (row == table_.admissions.end() || row->second.admission.blade != wanted.blade || row->second.revoking) {
        const auto floor = table_.floors.find(wanted.drive);
        const bool over = floor != table_.floors.end() && floor->second >= wanted.epoch;
        return links_.nbd(connection, {.kind = over ? NbdAnswer::Kind::over : NbdAnswer::Kind::refused});
    }
    const auto view = views_.find(key);
    if (view == views_.end() || view->second->gate.closed()) {
        return links_.nbd(connection, {.kind = NbdAnswer::Kind::refused});
    }
    Client& client = clients_[connection];
    client.view = view->second;
    client.holding = wanted;
    client.instance = instance;
    std::vector<Connection> shut_now;
    std::vector<Connection> dropped;
    switch (view->second->barrier.arrive(connection, instance, shut_now, dropped)) {
        case nbd::InstanceBarrier::Decision::enter: enter(connection, client); break;
        case nbd::InstanceBarrier::Decision::wait: break;
        case nbd::InstanceBarrier::Decision::refuse:
            clients_.erase(connection);
            links_.nbd(connection, {.kind = NbdAnswer::Kind::refused});
            break;
    }
    for (const Connection other : shut_now) {
        shut(other);
    }
    for (const Connection other : dropped) {
        clients_.erase(other);
        links_.nbd(other, {.kind = NbdAnswer::Kind::shut});
    }
}

void DataPathNode::enter(Connection connection, Client& client) {
    client.entered = true;
    const auto view = client.view.lock();
    links_.nbd(connection, {.kind = NbdAnswer::Kind::entered,
                            .boot_id = fmt::format("boot {}", boots_),
                            .read_only = !view || view->admission.mode == Mode::read});
}

// Nothing of it is read any more; it has left once nothing of it is in flight.
void DataPathNode::shut(Connection connection) {
    const auto client = clients_.find(connection);
    if (client == clients_.end()) {
        return;
    }
    client->second.shut = true;
    if (client->second.in_flight == 0) {
        left(connection);
    }
}

void DataPathNode::left(Connection connection) {
    const auto client = clients_.extract(connection);
    links_.nbd(connection, {.kind = NbdAnswer::Kind::shut});
    if (const auto view = client.mapped().view.lock()) {
        std::vector<Connection> entering;
        view->barrier.left(connection, entering);
        for (const Connection next : entering) {
            if (const auto waiter = clients_.find(next); waiter != clients_.end()) {
                enter(next, waiter->second);
            }
        }
    }
}

void DataPathNode::disconnect(Connection connection) {
    shut(connection);
}

void DataPathNode::request(Connection connection, const NbdRequest& request) {
    const auto client = clients_.find(connection);
    if (client == clients_.end() || client->second.shut || !client->second.entered) {
        return;
    }
    const auto view = client->second.view.lock();
    const auto refuse = [&](int error) {
        links_.nbd(connection, {.kind = NbdAnswer::Kind::answered, .id = request.id, .error = error});
    };
    if (!view) {
        return refuse(ESHUTDOWN);
    }
    if (request.kind == NbdRequest::Kind::write && view->admission.mode != Mode::write) {
        return refuse(EROFS);
    }
    if (!view->gate.enter()) {
        return refuse(ESHUTDOWN);
    }
    ledger_.entered(client->second.holding);
    ++client->second.in_flight;
#ifdef DRIVEBAY_WITH_PLANTED_BUGS
    if (planted(PlantedBug::gate_checks_before_it_counts)) {
        after(weather_.between(0ms, 3ms), [this, connection, view, request] {
            view->gate.count_late();
            perform(connection, view, request);
        });
        return;
    }
#endif
    perform(connection, view, request);
}

void DataPathNode::perform(Connection connection, std::shared_ptr<View> view, const NbdRequest& request) {
    const std::uint64_t io = ++last_io_;
    in_flight_[io] = {holding(view->admission), request};
    const auto promise =
        request.kind == NbdRequest::Kind::flush ? ledger_.promise(view->admission.drive) : Ledger::Promise{};
    if (planted(PlantedBug::answered_before_it_is_applied)) {
        links_.nbd(connection, {.kind = NbdAnswer::Kind::answered, .id = request.id, .error = 0});
    }
    after(disk_latency(), [this, io, connection, view, promise] { complete(io, connection, view, promise); });
}

void DataPathNode::complete(std::uint64_t io, Connection connection, const std::shared_ptr<View>& view,
                            Ledger::Promise promise) {
    const InFlight done = in_flight_.extract(io).mapped();
    apply(done);
    ledger_.flushed(view->admission.drive, promise);
    links_.nbd(connection, {.kind = NbdAnswer::Kind::answered, .id = done.request.id, .error = 0});
    view->gate.leave();
    const auto client = clients_.find(connection);
    if (client != clients_.end() && --client->second.in_flight == 0 && client->second.shut) {
        left(connection);
    }
}

void DataPathNode::apply(const InFlight& io) {
    if (io.request.kind == NbdRequest::Kind::write) {
        for (std::size_t i = 0; i < io.request.count; ++i) {
            ledger_.applied(io.by, io.request.block + i, io.request.write);
        }
    }
}

// ---- the management module's own use

void DataPathNode::use_locally(const std::string& drive, Mode mode) {
    asked_for_ = {++asked_, drive, mode};
    links_.arbiter(asked_for_);
}

void DataPathNode::take(const protocol::LocalAnswer& answer) {
    if (answer.id != asked_for_.id || !answer.granted) {
        return;
    }
    weather_.trace("drivebayfs was granted {}@{} for itself", asked_for_.drive, answer.epoch);
    TableState next = table_;
    const Admission admission{asked_for_.drive, std::string(local_blade), asked_for_.mode, answer.epoch};
    if (!admit(next, admission)) {
        if (table_.admissions.contains({admission.drive, admission.epoch})) {
            return;  // just being closed: released when its fence is done
        }
        return links_.arbiter(protocol::LocalRelease{admission.drive, admission.epoch});
    }
    commit(std::move(next));
    if (alive()) {
        local_.insert({admission.drive, admission.epoch});
        if (weather_.strikes(500)) {
            after(weather_.between(1ms, 150ms), [this] { kill(); });
        }
        write_locally();
    }
}

void DataPathNode::write_locally() {
    for (const Key& key : std::set(local_)) {
        const auto view = views_.find(key);
        if (view == views_.end() || view->second->admission.mode != Mode::write || !view->second->gate.enter()) {
            continue;
        }
        const Holding by = holding(view->second->admission);
        ledger_.entered(by);
#ifdef DRIVEBAY_WITH_PLANTED_BUGS
        if (planted(PlantedBug::gate_checks_before_it_counts)) {
            view->second->gate.count_late();
        }
#endif
        const std::size_t block = weather_.below(blocks_a_drive);
        NbdRequest request{.kind = NbdRequest::Kind::write, .block = block, .write = ledger_.submitted(by, block)};
        const std::uint64_t io = ++last_io_;
        in_flight_[io] = {by, request};
        after(disk_latency(), [this, io, view = view->second, by, request] {
            apply(in_flight_.extract(io).mapped());
            ledger_.acknowledged(by, request.block, request.write);
            view->gate.leave();
            if (!view->gate.closed()) {
                after(weather_.between(1ms, 300ms), [this] { write_locally(); });
            }
        });
        return;
    }
}

void DataPathNode::stop_using_locally() {
    for (const Key& key : std::exchange(local_, {})) {
        TableState next = table_;
        if (!revoke(next, {key.first, std::string(local_blade), key.second})) {
            weather_.trace("drivebayfs gives {}@{} back, which was not admitted", key.first, key.second);
            links_.arbiter(protocol::LocalRelease{key.first, key.second});
            continue;
        }
        releasing_.insert(key);
        commit(std::move(next));
        if (!alive()) {
            return;
        }
    }
}

bool DataPathNode::quiet() const {
    return in_flight_.empty() && fencing_.empty();
}

}  // namespace drivebay::sim
