#include "gadgetd/gadget_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lib/base/clock.h"
#include "lib/base/log.h"

namespace drivebay::gadgetd {

namespace {

using namespace std::chrono_literals;

constexpr Duration surroundings_interval = 500ms;
constexpr Duration status_limit = 2s;
// What was told last is on its way out of this machine.
constexpr Duration told_in = 300ms;

}  // namespace

GadgetKeeper::GadgetKeeper(rpc::Reactor& reactor, const Settings& settings, const GadgetTree& tree)
    : reactor_(reactor),
      settings_(settings),
      gadget_folder_(tree.folder),
      udc_class_(settings.shape().udc_class),
      journal_(settings.run_dir, kernel_boot_id()),
      drains_(settings.drivebayfs_endpoint(), settings.blade),
      surroundings_(reactor, "surroundings"),
      controller_(read_controller(tree.folder, udc_class_)),
      tick_(reactor),
      leave_(reactor),
      look_(reactor),
      host_(reactor, fmt::format("{}/{}/state", udc_class_, tree.udc), tree.adopted, [this] {
          log::info("the host has reset the USB device");
          feed(HostReset{});
      }) {
    plan_.limits = settings.limits();
    plan_.mount = settings.mount;
    for (int slot = 0; slot < static_cast<int>(tree.slots.size()); ++slot) {
        Result<JournalEntry> entry = journal_.load(slot);
        if (!entry) {
            log::error("a slot's journal cannot be read; what the slot held before is not known",
                       {{"slot", slot}, {"error", entry.error().message}});
        }
        recorded_[slot] = entry ? *entry : JournalEntry{};
        add_slot(plan_, slot, tree.slots[static_cast<std::size_t>(slot)], recorded_[slot]);
        plan_.slots.at(slot).siblings = siblings(tree.layout, slot);
        hands_.emplace(slot, SlotHands{Lun(tree.lun_folder(slot), settings.mount),
                                       std::make_unique<SlotWorker>(reactor, fmt::format("slot{}", slot))});
    }
    feed(Tick{});
    look_around();
}

void GadgetKeeper::feed(const GadgetEvent& event) {
    for (const GadgetAction& action : step(plan_, BootClock::now(), event)) {
        std::visit([this](const auto& one) { perform(one); }, action);
    }
    if (std::optional<Instant> next = next_deadline(plan_)) {
        tick_.set(std::max<Duration>(*next - BootClock::now(), Duration{0}), [this] { feed(Tick{}); });
    }
    if (!session_ && all_seen(plan_)) {
        ArbiterSession::Callbacks callbacks;
        callbacks.observe = [this] {
            // The hello carries it, and with a new link the versions count anew.
            feed(LinkBegan{});
            told_ = observe();
            return *told_;
        };
        callbacks.on_begin = [this] { tell(false); };
        callbacks.on_desired = [this](const protocol::Desired& desired) {
            if (left_) {
                return;
            }
            feed(DesiredArrived{desired});
            tell(true);
        };
        session_ = std::make_unique<ArbiterSession>(reactor_, settings_.arbiter_endpoint(), settings_.blade,
                                                    settings_.run_dir, std::move(callbacks), settings_.secure());
    }
    tell(false);
    end_if_left();
}

void GadgetKeeper::leave(Duration limit, std::function<void()> done) {
    left_ = std::move(done);
    leave_.set(limit, [this] {
        log::warning("not every medium could be put out and drained in time");
        left_();
    });
    protocol::Desired nothing;
    nothing.term = plan_.term;
    nothing.version = plan_.version;
    feed(DesiredArrived{nothing});
}

void GadgetKeeper::end_if_left() {
    const auto is_out = [](const auto& slot) {
        const SlotPlan& plan = slot.second;
        return plan.inspected && !plan.medium && !plan.leaving && !plan.inserting && !plan.busy;
    };
    if (left_ && !out_ && std::all_of(plan_.slots.begin(), plan_.slots.end(), is_out)) {
        out_ = true;
        leave_.set(told_in, [this] { left_(); });
    }
}

void GadgetKeeper::perform(const Record& action) {
    Status saved = journal_.save(action.slot, action.entry);
    unrecorded_.erase(action.slot);
    if (!saved) {
        log::error("a slot's journal cannot be written", {{"slot", action.slot}, {"error", saved.error().message}});
        if (action.entry.phase == JournalEntry::Phase::inserting) {
            unrecorded_.emplace(action.slot, saved.error());
        }
    }
    if (action.entry.phase == JournalEntry::Phase::leaving) {
        log::notice("the medium left its slot", {{"slot", action.slot},
                                                 {"drive", action.entry.medium.drive},
                                                 {"epoch", action.entry.medium.epoch},
                                                 {"by_host", action.entry.by_host},
                                                 {"why", action.entry.why}});
    }
    const JournalEntry before = std::exchange(recorded_[action.slot], action.entry);
    if (action.entry.last && action.entry.last != before.last) {
        const protocol::LastMedium& last = *action.entry.last;
        if (action.entry.put_out == before.put_out && last.by_host && last.wish != 0) {
            log::warning("the arbiter asks for what this host has put out before; it stays out",
                         {{"slot", action.slot}, {"drive", last.drive}, {"epoch", last.epoch}});
            return;
        }
        log::write(last.outcome == protocol::Outcome::drained ? log::Level::notice : log::Level::warning, "released",
                   {{"slot", action.slot},
                    {"drive", last.drive},
                    {"epoch", last.epoch},
                    {"outcome", protocol::to_string(last.outcome)}});
    }
}

void GadgetKeeper::perform(const Inspect& action) {
    SlotHands& hands = hands_.at(action.slot);
    hands.worker->submit([this, action, lun = hands.lun]() -> SlotWorker::Continuation {
        return [this, event = Inspected{action.slot, lun.file()}] { feed(event); };
    });
}

void GadgetKeeper::perform(const Insert& action) {
    SlotHands& hands = hands_.at(action.slot);
    std::optional<Error> refusal;
    if (auto found = unrecorded_.find(action.slot); found != unrecorded_.end()) {
        refusal = Error{found->second.code, fmt::format("{} is not inserted while its record cannot be kept: {}",
                                                        action.drive, found->second.message)};
    }
    hands.worker->submit([this, action, refusal, lun = hands.lun]() -> SlotWorker::Continuation {
        Status inserted = refusal ? Status(*refusal) : lun.insert(action);
        Inserted event{action.slot, inserted ? Error{} : inserted.error(), lun.file()};
        return [this, event, action] {
            tell_insert(action, event.failure);
            feed(event);
        };
    });
}

void GadgetKeeper::tell_insert(const Insert& action, const Error& failure) {
    std::string& before = failures_[action.slot];
    if (failure.code == 0) {
        log::notice("inserted", {{"slot", action.slot}, {"drive", action.drive}, {"epoch", action.epoch}});
        before.clear();
    } else if (std::exchange(before, failure.message) != failure.message) {
        log::warning(
            "an insert failed and is tried again",
            {{"slot", action.slot}, {"drive", action.drive}, {"epoch", action.epoch}, {"error", failure.message}});
    }
}

void GadgetKeeper::perform(const Eject& action) {
    SlotHands& hands = hands_.at(action.slot);
    hands.worker->submit([this, action, lun = hands.lun]() -> SlotWorker::Continuation {
        LunReading before = lun.file();
        bool was_empty = before.ok() && before->empty();
        Status ejected = was_empty ? success() : lun.eject(action.force);
        Ejected event{action.slot, was_empty, ejected ? Error{} : ejected.error(), lun.file(), action.policy};
        return [this, event] { feed(event); };
    });
}

void GadgetKeeper::perform(const Drain& action) {
    auto ask = [this, action, drains = drains_]() -> SlotWorker::Continuation {
        return [this, event = Drained{action.slot, drains.drain(action.drive, action.epoch, action.limit)}] {
            feed(event);
        };
    };
    auto found = hands_.find(action.slot);
    (found != hands_.end() ? *found->second.worker : surroundings_).submit(ask);
}

protocol::BladeObserved GadgetKeeper::observe() const {
    protocol::BladeObserved report = observed(plan_);
    report.udc = controller_.state;
    report.speed = controller_.speed;
    return report;
}

void GadgetKeeper::tell(bool even_unchanged) {
    protocol::BladeObserved report = observe();
    if (session_ && (even_unchanged || report != told_)) {
        told_ = report;
        session_->report(report);
    }
}

void GadgetKeeper::look_around() {
    surroundings_.submit(
        [this, folder = gadget_folder_, udc_class = udc_class_, drains = drains_]() -> SlotWorker::Continuation {
            ControllerState controller = read_controller(folder, udc_class);
            Instant asked_at = BootClock::now();
            auto sources = drains.sources(status_limit);
            return [this, controller, sources, asked_at] { seen_around(controller, sources, asked_at); };
        });
}

void GadgetKeeper::seen_around(const ControllerState& controller, const Result<DrainClient::Sources>& sources,
                               Instant asked_at) {
    if (controller != controller_) {
        controller_ = controller;
        log::info("the USB device controller changed", {{"state", controller.state}, {"speed", controller.speed}});
    }
    if (sources.ok() != sources_known_) {
        sources_known_ = sources.ok();
        if (sources_known_) {
            log::notice("drivebayfs answers again");
        } else {
            log::warning("drivebayfs does not answer",
                         {{"socket", settings_.drivebayfs}, {"error", sources.error().message}});
        }
    }
    feed(sources ? SourcesSeen{sources->states, asked_at, sources->traffic} : SourcesSeen{std::nullopt, asked_at});
    look_.set(surroundings_interval, [this] { look_around(); });
}

}  // namespace drivebay::gadgetd
