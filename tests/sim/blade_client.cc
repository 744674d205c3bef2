#include "tests/sim/blade_client.h"

#include <cerrno>

#include "lib/base/planted_bug.h"

namespace drivebay::sim {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t block_size = 4096;
constexpr Duration silence_limit = 700ms;  // then the connection is given up
constexpr Duration pause_limit = 3s;       // then the host gets its error

}  // namespace

BladeClient::BladeClient(Process& host_process, Scheduler& scheduler, Weather& weather, Ledger& ledger, Network network,
                         Holding what)
    : process_(host_process),
      scheduler_(scheduler),
      weather_(weather),
      ledger_(ledger),
      network_(std::move(network)),
      what_(std::move(what)) {
    export_.geometry.size = blocks_a_drive * block_size;
    export_.can_flush = true;
}

// ---- connections

void BladeClient::connect() {
    if (connection_ != 0) {
        return;
    }
    connection_ = network_.new_connection();
    entered_ = false;
    heard_ = scheduler_.now();
    network_.connect(connection_, what_, network_.new_instance());
    watch();
}

void BladeClient::watch() {
    if (std::exchange(watching_, true)) {
        return;
    }
    process_.after(100ms, [self = shared_from_this()] {
        self->watching_ = false;
        const bool waits = !self->entered_ || !self->operations_.empty();
        if (self->connection_ != 0 && waits && self->scheduler_.now() - self->heard_ > silence_limit) {
            self->network_.disconnect(self->connection_);
            self->lost();
        }
        for (const auto& [id, operation] : self->operations_) {
            if (self->scheduler_.now() - operation->since > pause_limit) {
                if (self->state_ == State::online || self->state_ == State::connecting) {
                    self->state_ = State::offline;
                }
                self->fail_all(EIO);
                break;
            }
        }
        if (self->connection_ != 0 || !self->operations_.empty()) {
            self->watch();
        }
    });
}

void BladeClient::lost() {
    connection_ = 0;
    entered_ = false;
    unanswered_.connection_lost();
    if (state_ == State::over || state_ == State::failed) {
        return;
    }
    if (!opening_.empty()) {
        for (const Done& opened : std::exchange(opening_, {})) {
            opened(EIO);
        }
    }
    if (handles_ > 0 || draining_) {
        process_.after(weather_.between(5ms, 150ms), [self = shared_from_this()] {
            if (self->state_ != State::over && self->state_ != State::failed) {
                self->connect();
            }
        });
    }
}

void BladeClient::reset(std::uint64_t connection) {
    if (connection == connection_) {
        lost();
    }
}

void BladeClient::hears(std::uint64_t connection, const NbdAnswer& answer) {
    if (connection != connection_) {
        return;
    }
    heard_ = scheduler_.now();
    switch (answer.kind) {
        case NbdAnswer::Kind::entered: {
            entered_ = true;
            read_only_ = answer.read_only;
            const bool rebooted = !boot_id_.empty() && boot_id_ != answer.boot_id;
            boot_id_ = answer.boot_id;
            if (rebooted && writes_answered_ > writes_flushed_ && !planted(PlantedBug::servers_reboot_is_ignored)) {
                return end(State::failed);
            }
            state_ = State::online;
            for (const Done& opened : std::exchange(opening_, {})) {
                ++handles_;
                was_opened_ = true;
                opened(0);
            }
            send_due();
            try_drain();
            break;
        }
        case NbdAnswer::Kind::over:
            if (planted(PlantedBug::replay_across_epochs) && !operations_.empty()) {
                // Goes on with whatever is admitted now.
                connection_ = 0;
                what_.epoch += 1;
                return connect();
            }
            end(State::over);
            break;
        case NbdAnswer::Kind::refused:
        case NbdAnswer::Kind::shut: lost(); break;
        case NbdAnswer::Kind::answered:
            if (const auto found = operations_.find(answer.id); found != operations_.end()) {
                answered(found->second, answer.error);
            }
            break;
    }
}

void BladeClient::end(State state) {
    weather_.trace("{}: {}@{} is {}", what_.blade, what_.drive, what_.epoch,
                   state == State::over ? "over" : "failed: unflushed writes may be lost");
    state_ = state;
    if (connection_ != 0) {
        network_.disconnect(std::exchange(connection_, 0));
    }
    for (const Done& opened : std::exchange(opening_, {})) {
        opened(state == State::over ? ENOENT : EIO);
    }
    fail_all(EIO);
    try_drain();
}

void BladeClient::die() {
    state_ = State::failed;
    connection_ = 0;
    entered_ = false;
    for (const Done& opened : std::exchange(opening_, {})) {
        opened(EIO);
    }
    drains_.clear();
    fail_all(EIO);
}

// ---- requests

void BladeClient::open(Done opened) {
    if (state_ == State::over) {
        return opened(ENOENT);
    }
    if (state_ == State::failed) {
        return opened(EIO);
    }
    if (entered_) {
        ++handles_;
        was_opened_ = true;
        return opened(0);
    }
    opening_.push_back(std::move(opened));
    connect();
}

void BladeClient::release() {
    --handles_;
    try_drain();
}

void BladeClient::write(std::size_t block, std::size_t count, Sequence write, Done done) {
    auto operation = std::make_shared<Operation>();
    operation->request.operation = IoOperation::write;
    operation->request.offset = block * block_size;
    operation->request.length = static_cast<std::uint32_t>(count) * block_size;
    operation->wire = {.kind = NbdRequest::Kind::write, .block = block, .count = count, .write = write};
    operation->done = std::move(done);
    submit(std::move(operation));
}

void BladeClient::flush(Done done) {
    auto operation = std::make_shared<Operation>();
    operation->request.operation = IoOperation::flush;
    operation->wire.kind = NbdRequest::Kind::flush;
    operation->done = std::move(done);
    operation->promised = ledger_.acknowledged_of(what_);
    submit(std::move(operation));
}

void BladeClient::submit(std::shared_ptr<Operation> operation) {
    if (state_ == State::over || state_ == State::failed || state_ == State::offline) {
        refused_writes_ += state_ == State::over && operation->wire.kind == NbdRequest::Kind::write ? 1 : 0;
        return operation->done(EIO);
    }
    operation->wire.id = ++last_id_;
    operation->since = scheduler_.now();
    operation->request.context = operation.get();
    operation->entry = &unanswered_.add(operation->request, export_);
    if (operations_.empty()) {
        heard_ = scheduler_.now();
    }
    operations_[operation->wire.id] = std::move(operation);
    send_due();
    watch();
}

void BladeClient::send_due() {
    while (entered_) {
        const auto* entry = unanswered_.next_to_send();
        if (entry == nullptr) {
            return;
        }
        auto& operation = *static_cast<Operation*>(entry->pieces.request().context);
        operation.sent = writes_answered_;
        operation.power_cuts = ledger_.power_cuts();
        network_.request(connection_, operation.wire);
    }
}

void BladeClient::answered(std::shared_ptr<Operation> operation, int error) {
    operations_.erase(operation->wire.id);
    unanswered_.remove(*operation->entry);
    const bool is_write = operation->wire.kind == NbdRequest::Kind::write;
    if (error == ESHUTDOWN) {
        refused_writes_ += is_write ? 1 : 0;
        operation->done(EIO);
        return end(State::over);
    }
    if (error == 0 && is_write) {
        ++writes_answered_;
    } else if (error == 0 && operation->wire.kind == NbdRequest::Kind::flush) {
        writes_flushed_ = std::max(writes_flushed_, operation->sent);
        ledger_.flush_acknowledged(what_, operation->promised, operation->power_cuts);
    }
    operation->done(error);
    send_due();
    try_drain();
}

void BladeClient::fail_all(int error) {
    for (const auto& [id, operation] : std::exchange(operations_, {})) {
        unanswered_.remove(*operation->entry);
        refused_writes_ += state_ == State::over && operation->wire.kind == NbdRequest::Kind::write ? 1 : 0;
        operation->done(error);
    }
}

// ---- drains

void BladeClient::drain(std::function<void(gadgetd::DrainAnswer)> told) {
    drains_.push_back(std::move(told));
    draining_ = true;
    settling_ = !was_opened_;  // of a former process there may be what wants its flush
    if (state_ != State::over && state_ != State::failed) {
        connect();
    }
    try_drain();
}

gadgetd::DrainAnswer BladeClient::verdict() const {
    using protocol::Outcome;
    if (state_ == State::over && !was_opened_) {
        return {gadgetd::DrainAnswer::Kind::answered, Outcome::unknown, "", false};
    }
    const bool lost =
        state_ == State::failed || writes_answered_ > writes_flushed_ || (state_ == State::over && refused_writes_ > 0);
    return {gadgetd::DrainAnswer::Kind::answered, lost ? Outcome::lost : Outcome::drained, "", was_opened_};
}

void BladeClient::try_drain() {
    const bool busy = handles_ > 0 && !planted(PlantedBug::drained_with_open_handles);
    if (drains_.empty() || busy || (!operations_.empty() && !planted(PlantedBug::drained_with_open_handles))) {
        return;
    }
    const bool over = state_ == State::over || state_ == State::failed;
    if (!over && !entered_) {
        return;
    }
    if (over || (writes_answered_ == writes_flushed_ && !settling_) || planted(PlantedBug::drained_with_open_handles)) {
        draining_ = false;
        for (const auto& told : std::exchange(drains_, {})) {
            told(verdict());
        }
        return;
    }
    auto operation = std::make_shared<Operation>();
    operation->request.operation = IoOperation::flush;
    operation->wire.kind = NbdRequest::Kind::flush;
    operation->done = [self = shared_from_this()](int error) { self->settling_ = self->settling_ && error != 0; };
    submit(std::move(operation));
}

gadgetd::SourceState BladeClient::source() const {
    return state_ == State::over      ? gadgetd::SourceState::ended
           : state_ == State::offline ? gadgetd::SourceState::offline
           : state_ == State::failed  ? gadgetd::SourceState::ended
                                      : gadgetd::SourceState::online;
}

}  // namespace drivebay::sim
