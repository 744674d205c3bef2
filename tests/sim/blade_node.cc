#include "tests/sim/blade_node.h"

#include <cerrno>

#include "lib/base/planted_bug.h"

namespace drivebay::sim {

using namespace std::chrono_literals;
using namespace gadgetd;

// ---- life

BladeNode::BladeNode(Scheduler& scheduler, Weather& weather, Ledger& ledger, std::string name,
                     BladeClient::Network network, Links links, Duration ttl)
    : Process(scheduler),
      fs(scheduler, weather, ledger, name, std::move(network)),
      weather_(weather),
      ledger_(ledger),
      name_(std::move(name)),
      links_(std::move(links)),
      ttl_(ttl),
      drift_(0.99 + 0.0001 * static_cast<double>(weather.below(200))) {}

void BladeNode::power_on() {
    weather_.trace("{} boots", name_);
    powered_ = true;
    ++boots_;
    for (int slot = 0; slot < slots; ++slot) {
        luns_[slot] = {};
        host_works(slot);
    }
    fs.start();
    start();
}

void BladeNode::power_off() {
    weather_.trace("{} loses power", name_);
    powered_ = false;
    ++boots_;
    for (auto& [slot, lun] : luns_) {
        if (lun.file) {
            ledger_.left_lun(lun.file->what());
        }
        lun = {};
    }
    fs.kill();
    kill();
    journal_.clear();
    session_.clear();
    term_ = 0;
    ledger_.blade_reboots(name_);
}

void BladeNode::in_kernel(Duration delay, std::function<void()> what) {
    scheduler().after(delay, [this, boot = boots_, what = std::move(what)] {
        if (boot == boots_ && powered_) {
            what();
        }
    });
}

void BladeNode::started() {
    weather_.trace("{}: gadgetd starts", name_);
    ++runs_;
    plan_ = {};
    plan_.mount = "/srv/drivebay";
    plan_.limits.drain = 5s;
    plan_.limits.drain_unreachable = 2s;
    plan_.limits.stuck = 5s;
    plan_.limits.source_missing = 1s;
    told_.reset();
    session_begun_ = false;
    for (int slot = 0; slot < slots; ++slot) {
        add_slot(plan_, slot, DriveKind::disk, journal_[slot]);
    }
    feed(gadgetd::Tick{});
    look_around();
}

void BladeNode::killed() {
    weather_.trace("{}: gadgetd dies", name_);
    for (const auto& [slot, what] : std::exchange(ejecting_, {})) {
        ledger_.ejected_unseen(what);
    }
    drop_link();
}

// ---- gadgetd's session with the arbiter

void BladeNode::connect() {
    if (link_ != 0) {
        return;
    }
    link_ = ++links_made_;
    welcomed_ = false;
    heard_ = now();
    feed(LinkBegan{});
    if (!alive() || link_ == 0) {
        return;
    }
    protocol::BladeHello hello;
    hello.blade = name_;
    hello.session = session_;
    hello.boot_id = fmt::format("{} boot {}", name_, boots_);
    hello.term = term_;
    hello.observed = observed(plan_);
    told_ = hello.observed;
    say(hello);
    renew(link_);
}

void BladeNode::say(protocol::Message message) {
    links_.arbiter(link_, std::move(message));
}

void BladeNode::drop_link() {
    if (link_ != 0) {
        links_.left(std::exchange(link_, 0));
    }
    welcomed_ = false;
    after(weather_.between(50ms, 500ms), [this] { connect(); });
}

void BladeNode::link_lost(std::uint64_t link) {
    if (link == link_ && link != 0) {
        drop_link();
    }
}

void BladeNode::renew(std::uint64_t link) {
    after(drifted(ttl_ / 3), [this, link] {
        if (link != link_) {
            return;
        }
        if (now() - heard_ > ttl_) {
            return drop_link();
        }
        if (welcomed_) {
            say(protocol::Renew{++seq_});
        }
        renew(link);
    });
}

void BladeNode::hears(std::uint64_t link, const protocol::Message& message) {
    if (link != link_) {
        return;
    }
    if (const auto* welcome = std::get_if<protocol::Welcome>(&message)) {
        if (welcome->term < term_) {
            return drop_link();
        }
        session_ = welcome->session;
        term_ = welcome->term;
        welcomed_ = true;
        heard_ = now();
        report();
    } else if (std::holds_alternative<protocol::Refused>(message)) {
        drop_link();
    } else if (const auto* renewed = std::get_if<protocol::Renewed>(&message)) {
        heard_ = now();
        say(protocol::Heard{renewed->seq});
    } else if (const auto* desired = std::get_if<protocol::Desired>(&message); desired && welcomed_) {
        if (desired->term < term_) {
            return drop_link();
        }
        term_ = desired->term;
        feed(DesiredArrived{*desired});
        if (alive()) {
            ledger_.obeyed(name_, plan_.term, 0);
            told_.reset();
            report();
        }
    }
}

void BladeNode::report() {
    if (!alive() || !welcomed_) {
        return;
    }
    protocol::BladeObserved seen = observed(plan_);
    for (const auto& slot : seen.slots) {
        const auto& leaving = plan_.slots.at(slot.slot).leaving;
        if (slot.last && leaving && leaving->drive == slot.last->drive && leaving->epoch == slot.last->epoch) {
            throw BrokenInvariant(fmt::format("I10: {} told the release of {}@{} while its drain goes on", name_,
                                              leaving->drive, leaving->epoch));
        }
    }
    if (seen != told_) {
        told_ = seen;
        say(seen);
    }
}

// ---- gadgetd's planner and its hands

void BladeNode::feed(const GadgetEvent& event) {
    const Term term = plan_.term;
    const std::uint64_t version = plan_.version;
    if (const auto* drained = std::get_if<Drained>(&event)) {
        const auto& slot = plan_.slots.at(drained->slot);
        if (slot.in_doubt && drained->answer.kind == DrainAnswer::Kind::answered && !drained->answer.opened) {
            ledger_.taken_for_never_in({name_, slot.leaving->drive, slot.leaving->epoch});
        }
    }
    for (const GadgetAction& action : step(plan_, now(), event)) {
        if (!std::visit([this](const auto& one) { return perform(one); }, action)) {
            return;  // it was killed
        }
    }
    if (std::holds_alternative<DesiredArrived>(event) &&
        (plan_.term < term || (plan_.term == term && plan_.version < version))) {
        throw BrokenInvariant(fmt::format("I8: {} obeyed version {} of term {} after version {} of term {}", name_,
                                          plan_.version, plan_.term, version, term));
    }
    for (const auto& [id, slot] : plan_.slots) {
        if (slot.in_doubt && slot.leaving) {
            doubted_.insert({name_, slot.leaving->drive, slot.leaving->epoch});
        }
    }
    const std::uint64_t timer = ++timer_;
    if (const auto next = next_deadline(plan_)) {
        after(*next - now(), [this, timer] {
            if (timer == timer_) {
                feed(gadgetd::Tick{});
            }
        });
    }
    report();
    if (!session_begun_ && all_seen(plan_)) {
        session_begun_ = true;
        connect();
    }
}

bool BladeNode::perform(const Record& action) {
    if (action.entry.phase == JournalEntry::Phase::loaded && weather_.strikes(60)) {
        kill();
        return false;
    }
    const auto& before = journal_[action.slot];
    const bool told_again = action.entry.last && action.entry.last->by_host && action.entry.put_out == before.put_out;
    if (action.entry.last && action.entry.last != before.last && told_again) {
        weather_.trace("{}: slot {} is asked for what its host put out as {}@{}", name_, action.slot,
                       action.entry.last->drive, action.entry.last->epoch);
    } else if (action.entry.last && action.entry.last != before.last) {
        const protocol::LastMedium& last = *action.entry.last;
        weather_.trace("{}: slot {} released {}@{}: {}{}", name_, action.slot, last.drive, last.epoch,
                       protocol::to_string(last.outcome), last.by_host ? ", by its host" : "");
        const Holding what{name_, last.drive, last.epoch};
        if (last.outcome == protocol::Outcome::unknown && doubted_.contains(what)) {
            ledger_.ejected_unseen(what);
        }
        ledger_.released(what, last.outcome);
    }
    journal_[action.slot] = action.entry;
    if (weather_.strikes(15)) {
        kill();
        return false;
    }
    return true;
}

std::string BladeNode::file_of(int slot) const {
    const SimLun& lun = luns_.at(slot);
    return lun.file ? fmt::format("/srv/drivebay/{}@{}", lun.file->what().drive, lun.file->what().epoch)
                    : std::string();
}

bool BladeNode::perform(const Inspect& action) {
    after(weather_.between(1ms, 5ms), [this, action] { feed(Inspected{action.slot, file_of(action.slot)}); });
    return true;
}

bool BladeNode::perform(const Insert& action) {
    const SlotPlan& slot = plan_.slots.at(action.slot);
    const std::uint64_t wish = slot.inserting ? slot.inserting->wish : 0;
    // The daemon may die while the kernel opens the file.
    auto result = std::make_shared<Error>();
    Scheduler::Action tell = in_this_life([this, action, result] {
        feed(Inserted{action.slot, *result, file_of(action.slot)});
    });
    in_kernel(weather_.between(1ms, 15ms), [this, action, wish, result, tell, run = runs_] {
        if (run != runs_) {
            return;  // a successor begins only when the kernel is done with whatever it did for the dead
        }
        if (!fs.alive()) {
            *result = Error{ENOTCONN, "the transport endpoint is not connected"};
            return tell();
        }
        const auto client = fs.client(action.drive, action.epoch);
        client->open([this, action, wish, result, tell, client, run, boot = boots_](int error) {
            SimLun& lun = luns_[action.slot];
            weather_.trace("{}: the kernel opened {}@{}: {}", name_, action.drive, action.epoch, error);
            if (error == 0 && run != runs_) {
                ledger_.ejected_unseen(client->what());
                return client->release();
            }
            if (error == 0 && !action.read_only && client->read_only()) {
                error = EROFS;
                client->release();
            } else if (error == 0 && (lun.file || boot != boots_)) {
                error = EBUSY;
                client->release();
            }
            if (error != 0) {
                *result = Error{error, "it cannot be opened"};
            } else {
                weather_.trace("{}: slot {} holds {}@{}", name_, action.slot, action.drive, action.epoch);
                lun.file = client;
                lun.wish = wish;
                lun.read_only = action.read_only;
                lun.locked = false;
                ledger_.inserted({name_, action.drive, action.epoch}, wish, fmt::format("{}", boots_));
                if (weather_.strikes(60)) {
                    host_ejects(action.slot);
                }
            }
            scheduler().after(Duration::zero(), tell);
        });
    });
    return true;
}

bool BladeNode::perform(const Eject& action) {
    auto event = std::make_shared<Ejected>(Ejected{action.slot, false, {}, std::string()});
    Scheduler::Action tell = in_this_life([this, event] {
        ejecting_.erase(event->slot);
        feed(*event);
    });
    in_kernel(weather_.between(1ms, 10ms), [this, action, event, tell, run = runs_] {
        if (run != runs_) {
            return;
        }
        SimLun& lun = luns_[action.slot];
        event->was_empty = !lun.file;
        if (lun.file && lun.locked && !action.force) {
            event->failure = Error{EBUSY, "the door is locked"};
        } else if (lun.file) {
            if (alive()) {
                ejecting_[action.slot] = lun.file->what();
            } else {
                ledger_.ejected_unseen(lun.file->what());
            }
            put_out(action.slot, false);
        }
        event->file = file_of(action.slot);
        scheduler().after(weather_.between(0ms, 3ms), tell);
    });
    return true;
}

bool BladeNode::perform(const Drain& action) {
    if (!fs.alive() || fs.paused()) {
        after(1ms, [this, action] { feed(Drained{action.slot, DrainAnswer{}}); });
        return true;
    }
    auto told = std::make_shared<bool>(false);
    const auto tell = [this, action, told](DrainAnswer answer) {
        if (!std::exchange(*told, true)) {
            weather_.trace(
                "{}: {}@{} is {}{}", name_, action.drive, action.epoch,
                answer.kind == DrainAnswer::Kind::answered ? protocol::to_string(answer.outcome) : "not drained yet",
                answer.opened ? "" : ", and was never open");
            feed(Drained{action.slot, std::move(answer)});
        }
    };
    const auto client = fs.client(action.drive, action.epoch);
    auto answered = std::make_shared<DrainAnswer>();
    client->drain(
        [this, answered, deliver = in_this_life([tell, answered] { tell(*answered); })](const DrainAnswer& answer) {
            *answered = answer;
            scheduler().after(Duration::zero(), deliver);
        });
    after(action.limit, [tell] { tell({DrainAnswer::Kind::busy, protocol::Outcome::unknown, ""}); });
    return true;
}

void BladeNode::look_around() {
    after(500ms, [this] {
        const Instant asked_at = now();
        std::optional<SourceStates> states;
        if (fs.alive() && !fs.paused()) {
            states = fs.sources();
        }
        feed(SourcesSeen{states, asked_at});
        look_around();
    });
}

std::string BladeNode::standing() const {
    std::string text = fmt::format("\n    {}: {}, version {} of term {}", name_, welcomed_ ? "online" : "offline",
                                   plan_.version, plan_.term);
    for (const auto& [id, slot] : plan_.slots) {
        text += fmt::format("; slot {}{}{}{}{} holds \"{}\", wants {}@{}", id, slot.busy ? " busy" : "",
                            slot.inspected ? "" : " unseen", slot.leaving ? " leaving" : "",
                            slot.in_doubt ? " in doubt" : "", file_of(id), slot.wanted ? slot.wanted->drive : "",
                            slot.wanted ? slot.wanted->epoch : 0);
        text += slot.last ? fmt::format(", last {}@{}{}", slot.last->drive, slot.last->epoch,
                                        slot.last->by_host ? " by host" : "")
                          : "";
    }
    return text;
}

// ---- the kernel and the host

// The LUN is empty at once; the file is released behind everybody's back.
void BladeNode::put_out(int slot, bool by_host) {
    SimLun& lun = luns_[slot];
    const auto file = std::exchange(lun.file, nullptr);
    lun.locked = false;
    if (by_host) {
        ledger_.ejected_by_host(file->what(), lun.wish);
    } else {
        ledger_.left_lun(file->what());
    }
    weather_.trace("{}: slot {} is empty{}", name_, slot, by_host ? ": its host ejected" : "");
    const Duration late = weather_.strikes(50) ? weather_.between(50ms, 1500ms) : weather_.between(0ms, 5ms);
    in_kernel(late, [file] { file->release(); });
}

void BladeNode::host_ejects(int slot) {
    SimLun& lun = luns_[slot];
    if (powered_ && lun.file && !lun.locked) {
        put_out(slot, true);
    }
}

void BladeNode::unlock_doors() {
    for (auto& [slot, lun] : luns_) {
        lun.locked = false;
    }
}

void BladeNode::host_works(int slot) {
    in_kernel(weather_.between(10ms, 250ms), [this, slot] {
        SimLun& lun = luns_[slot];
        if (lun.file && busy_host && lun.outstanding < 4) {
            const auto file = lun.file;
            const std::size_t what = weather_.below(100);
            ++lun.outstanding;
            const auto done = [this, slot, boot = boots_] {
                if (boot == boots_) {
                    --luns_[slot].outstanding;
                }
            };
            if (what < 70 && !lun.read_only) {
                const std::size_t block = weather_.below(blocks_a_drive);
                const std::size_t count = block + 1 < blocks_a_drive ? 1 + weather_.below(2) : 1;
                const Holding by = file->what();
                const Sequence write = ledger_.submitted(by, block);
                file->write(block, count, write, [this, done, by, block, count, write](int error) {
                    for (std::size_t i = 0; error == 0 && i < count; ++i) {
                        ledger_.acknowledged(by, block + i, write);
                    }
                    done();
                });
            } else if (what < 85) {
                file->flush([done](int) { done(); });
            } else {
                done();
                if (what < 92) {
                    lun.locked = !lun.locked;
                } else if (what < 94 && weather_.stormy) {
                    host_ejects(slot);
                }
            }
        }
        host_works(slot);
    });
}

}  // namespace drivebay::sim
