#include "tests/sim/arbiter_node.h"

#include "arbiter/store/stored_state_check.h"
#include "lib/base/names.h"
#include "lib/base/planted_bug.h"

namespace drivebay::sim {

using namespace std::chrono_literals;
using arbiter::Actions;
using arbiter::LeaseState;

void store_rows(arbiter::State& disk, const arbiter::State& state, const arbiter::Changes& changes) {
    const auto copy = [](auto& to, const auto& from, const auto& key) {
        if (const auto found = from.find(key); found != from.end()) {
            to.insert_or_assign(key, found->second);
        } else {
            to.erase(key);
        }
    };
    for (const auto& name : changes.drives) {
        copy(disk.drives, state.drives, name);
    }
    for (const auto& name : changes.blades) {
        copy(disk.blades, state.blades, name);
    }
    for (const auto& name : changes.epochs) {
        copy(disk.epochs, state.epochs, name);
    }
    for (const auto& id : changes.requests) {
        copy(disk.requests, state.requests, id);
    }
    for (const auto id : changes.leases) {
        copy(disk.leases, state.leases, id);
        if (const auto found = disk.leases.find(id); found != disk.leases.end() && is_gone(found->second)) {
            disk.leases.erase(found);
        }
        disk.last_lease = state.last_lease;
    }
    if (changes.term) {
        disk.term = state.term;
    }
}

arbiter::State load_rows(const arbiter::State& disk) {
    arbiter::State state;
    state.term = disk.term;
    state.last_lease = disk.last_lease;
    state.epochs = disk.epochs;
    state.requests = disk.requests;
    state.timing = disk.timing;
    for (const auto& [name, row] : disk.drives) {
        arbiter::Drive& drive = state.drives[name] = row;
        drive.observed.reset();
    }
    for (const auto& [name, row] : disk.blades) {
        arbiter::Blade& blade = state.blades[name];
        blade.name = name;
        blade.slots = row.slots;
        blade.session = row.session;
        blade.boot_id = row.boot_id;
    }
    for (const auto& [id, row] : disk.leases) {
        arbiter::Lease& lease = state.leases[id];
        lease.id = row.id;
        lease.drive = row.drive;
        lease.blade = row.blade;
        lease.mode = row.mode;
        lease.slot = row.slot;
        lease.state = row.state;
        lease.epoch = row.epoch;
        lease.order = row.order;
        lease.wanted = row.wanted;
        lease.seen_loaded = row.seen_loaded;
        lease.wish = row.wish;
        lease.ending = row.ending;
        lease.successor = row.successor;
        lease.taker = row.taker;
        lease.notice = row.notice;
        lease.outcome = row.outcome;
    }
    return state;
}

void ArbiterNode::started() {
    const auto findings = disk.term == 0 ? std::vector<std::string>() : arbiter::check_stored_state(disk);
    if (!findings.empty()) {
        throw BrokenInvariant("I13: what is stored is refused at a start: " + findings.front());
    }
    state_ = load_rows(disk);
    ++state_.term;
    disk.term = state_.term;
    weather_.trace("{} starts with term {}", name_, state_.term);
    apply(arbiter::Started{});
}

void ArbiterNode::killed() {
    weather_.trace("{} dies", name_);
    data_path_link_ = 0;
    blade_links_.clear();
    renewals_.clear();
    links_.died();
}

Actions ArbiterNode::apply(arbiter::Happening what) {
    Actions actions = arbiter::step(state_, arbiter::Event{now(), std::move(what)});
    if (actions.deposed) {
        weather_.trace("{} ends: {}", name_, *actions.deposed);
        kill();
        return actions;
    }
    witness(actions);
    const bool early = planted(PlantedBug::visible_before_durable);
    if (early) {
        tell(actions);
    }
    if (!actions.changes.empty()) {
        if (weather_.strikes(3)) {
            weather_.trace("{} is killed before its commit", name_);
            kill();
            return actions;
        }
        commit(actions.changes);
        if (weather_.strikes(3)) {
            weather_.trace("{} is killed after its commit", name_);
            kill();
            return actions;
        }
    }
    if (!early) {
        tell(actions);
    }
    set_timer();
    return actions;
}

void ArbiterNode::commit(const arbiter::Changes& changes) {
    store_rows(disk, state_, changes);
}

void ArbiterNode::witness(const Actions& actions) {
    for (const auto id : actions.changes.leases) {
        const auto before = disk.leases.find(id);
        const auto after = state_.leases.find(id);
        const bool gone = after == state_.leases.end() || is_gone(after->second);
        if (gone && before != disk.leases.end() && before->second.epoch != 0 && links_.leads(data_path_link_)) {
            const arbiter::Lease& lease = before->second;
            ledger_.taken_for_fenced({lease.blade, lease.drive, lease.epoch});
        }
    }
    for (const auto& entry : actions.audit) {
        weather_.trace("{}: {} lease {} {} {} {} epoch {} {}", name_, entry.event, entry.lease, entry.drive,
                       entry.blade, entry.mode, entry.epoch, entry.detail);
    }
    for (const auto& entry : actions.audit) {
        const Holding whose{entry.blade, entry.drive, entry.epoch};
        if (entry.event == "presented") {
            ledger_.presented(entry.lease);
        } else if (entry.event == "granted") {
            const arbiter::Lease& lease = state_.leases.at(entry.lease);
            ledger_.granted({lease.drive, lease.blade, lease.mode, lease.epoch}, lease.id, lease.wish, leads());
            check_turn(lease);
        } else if (entry.event == "ejected-by-host") {
            ledger_.said_ejected_by_host(whose);
        } else if (entry.event == "fencing" && entry.detail.ends_with("no host ever had it") &&
                   links_.leads(data_path_link_)) {
            // (What one says that the data path has left for another binds nobody; it may be between two links.)
            ledger_.said_never_loaded(whose);
        } else if (entry.event == "fencing" && entry.detail.starts_with("expired")) {
            check_waited_for(whose);
        }
    }
}

// I12: nobody is granted what somebody who came earlier, is there and cannot stand beside it waits for.
void ArbiterNode::check_turn(const arbiter::Lease& granted) const {
    if (is_local(granted)) {
        return;
    }
    for (const auto& [id, other] : state_.leases) {
        if (other.state == LeaseState::waiting && other.drive == granted.drive && other.blade != granted.blade &&
            other.order < granted.order && state_.blades.at(other.blade).live &&
            !arbiter::coexist(other.mode, granted.mode)) {
            throw BrokenInvariant(
                fmt::format("I12: lease {} was granted before lease {}, which came earlier", granted.id, other.id));
        }
    }
}

// I9: expiry makes a lease takeable, no more.
void ArbiterNode::check_waited_for(const Holding& whose) const {
    for (const auto& [id, other] : state_.leases) {
        if (other.state == LeaseState::waiting && other.drive == whose.drive && other.blade != whose.blade) {
            return;
        }
    }
    throw BrokenInvariant(fmt::format("I9: {}@{} of {} was ended as expired and nobody waits for it", whose.drive,
                                      whose.epoch, whose.blade));
}

// I5: whatever is told is on the disk.
void ArbiterNode::check_durable(const protocol::Table& table) const {
    const auto stored = [this](const std::string& drive, const std::string& blade,
                               Epoch epoch) -> const arbiter::Lease* {
        for (const auto& [id, lease] : disk.leases) {
            if (lease.drive == drive && lease.blade == blade && lease.epoch == epoch) {
                return &lease;
            }
        }
        return nullptr;
    };
    if (disk.term != table.term) {
        throw BrokenInvariant(fmt::format("I5: term {} was told and is not stored", table.term));
    }
    for (const auto& admission : table.admit) {
        const auto* lease = stored(admission.drive, admission.blade, admission.epoch);
        if (!lease || !is_active(*lease) || disk.epochs.at(admission.drive) < admission.epoch) {
            throw BrokenInvariant(fmt::format("I5: an admission of {}@{} for {} was told and is not stored",
                                              admission.drive, admission.epoch, admission.blade));
        }
    }
    for (const auto& order : table.fence) {
        const auto* lease = stored(order.drive, order.blade, order.epoch);
        if (lease && lease->state != LeaseState::fencing) {
            throw BrokenInvariant(fmt::format("I5: the end of {}@{} of {} was told and is not stored", order.drive,
                                              order.epoch, order.blade));
        }
    }
}

void ArbiterNode::check_durable(const std::string& blade, const protocol::Desired& desired) const {
    for (const auto& slot : desired.slots) {
        bool found = false;
        for (const auto& [id, lease] : disk.leases) {
            found = found || (lease.drive == slot.drive && lease.blade == blade && lease.epoch == slot.epoch &&
                              (lease.state == LeaseState::held || lease.state == LeaseState::revoking));
        }
        if (!found) {
            throw BrokenInvariant(
                fmt::format("I5: {}@{} was told to {} and is not stored", slot.drive, slot.epoch, blade));
        }
    }
}

void ArbiterNode::tell(const Actions& actions) {
    if (actions.table && data_path_link_ != 0) {
        const protocol::Table table = data_path_table(state_);
        check_durable(table);
        links_.table(data_path_link_, table);
    }
    for (const auto& answer : actions.local_answers) {
        links_.local_answer(data_path_link_, answer);
    }
    if (actions.welcome && !greeting_.empty()) {
        blade_links_[greeting_] = greeting_link_;
        links_.blade(greeting_, greeting_link_, *actions.welcome);
    }
    for (const std::string& blade : actions.desired) {
        const auto link = blade_links_.find(blade);
        if (link != blade_links_.end()) {
            const protocol::Desired desired = desired_state(state_, blade);
            check_durable(blade, desired);
            links_.blade(blade, link->second, desired);
        }
    }
}

void ArbiterNode::set_timer() {
    const std::uint64_t timer = ++timer_;
    if (const auto deadline = next_deadline(state_)) {
        after(*deadline - now(), [this, timer] {
            if (timer == timer_) {
                apply(arbiter::Tick{});
            }
        });
    }
}

void ArbiterNode::data_path_arrives(std::uint64_t link, const protocol::DataPathHello& hello) {
    if (data_path_link_ != 0) {
        apply(arbiter::DataPathLeft{});
    }
    if (alive()) {
        data_path_link_ = link;
        apply(arbiter::DataPathArrived{hello});
    }
}

void ArbiterNode::data_path_says(std::uint64_t link, const protocol::Message& message) {
    if (link != data_path_link_) {
        return;
    }
    if (const auto* observed = std::get_if<protocol::DataPathObserved>(&message)) {
        apply(arbiter::DataPathReported{*observed});
    } else if (const auto* acquire = std::get_if<protocol::LocalAcquire>(&message)) {
        apply(arbiter::LocalAcquired{*acquire});
    } else if (const auto* release = std::get_if<protocol::LocalRelease>(&message)) {
        apply(arbiter::LocalReleased{*release});
    }
}

void ArbiterNode::data_path_left(std::uint64_t link) {
    if (link == data_path_link_) {
        data_path_link_ = 0;
        apply(arbiter::DataPathLeft{});
    }
}

void ArbiterNode::blade_says(const std::string& blade, std::uint64_t link, const protocol::Message& message) {
    if (const auto* hello = std::get_if<protocol::BladeHello>(&message)) {
        greeting_ = blade;
        greeting_link_ = link;
        const Actions actions =
            apply(arbiter::BladeArrived{*hello, fmt::format("{}-{}-{}", name_, state_.term, ++sessions_)});
        greeting_.clear();
        if (actions.refusal && alive()) {
            links_.blade(blade, link, protocol::Refused{actions.refusal->message});
        }
        return;
    }
    const auto current = blade_links_.find(blade);
    if (current == blade_links_.end() || current->second != link) {
        return;
    }
    if (const auto* observed = std::get_if<protocol::BladeObserved>(&message)) {
        apply(arbiter::BladeReported{blade, *observed});
    } else if (const auto* renew = std::get_if<protocol::Renew>(&message)) {
        renewals_[link].received(renew->seq, now());
        links_.blade(blade, link, protocol::Renewed{renew->seq, 0});
    } else if (const auto* heard = std::get_if<protocol::Heard>(&message)) {
        if (const std::optional<Instant> since = renewals_[link].heard(heard->seq)) {
            apply(arbiter::BladeRenewed{blade, *since});
        }
    }
}

void ArbiterNode::blade_left(const std::string& blade, std::uint64_t link) {
    const auto current = blade_links_.find(blade);
    if (current != blade_links_.end() && current->second == link) {
        blade_links_.erase(current);
        renewals_.erase(link);
        apply(arbiter::BladeLeft{blade});
    }
}

Actions ArbiterNode::ask(arbiter::Happening what) {
    Actions actions;
    if (!alive() || paused()) {
        actions.refusal = arbiter::Refusal{503, "the arbiter does not answer"};
        return actions;
    }
    return apply(std::move(what));
}

}  // namespace drivebay::sim
