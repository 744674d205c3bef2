#include "fusefs/blade/blade_catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr std::size_t remembered = 256;

}  // namespace

BladeCatalogue::BladeCatalogue(EventLoop& loop, KeptLayout& kept, BladeSettings settings)
    : loop_(loop),
      settings_(std::move(settings)),
      exports_(loop, settings_.management, settings_.certificates, settings_.blade, settings_.ask_limit),
      epochs_(kept) {}

BladeCatalogue::~BladeCatalogue() = default;

void BladeCatalogue::list_blades(std::function<void(std::vector<std::string>)> callback) {
    callback({});
}

void BladeCatalogue::list(const std::string&, std::function<void(Result<std::vector<ViewInfo>>)> callback) {
    exports_.list(std::move(callback));
}

void BladeCatalogue::look_up(const std::string&, const DriveReference& name,
                             std::function<void(Result<ViewInfo>)> callback) {
    exports_.look_up(name, std::move(callback));
}

void BladeCatalogue::open(const std::string&, const DriveReference& name, Mode mode,
                          std::function<void(Result<std::shared_ptr<View>>)> callback) {
    if (name.epoch != 0) {
        return open_epoch({name.drive, name.epoch}, mode, std::move(callback));
    }
    exports_.look_up(name, [this, mode, callback = std::move(callback)](Result<ViewInfo> info) {
        if (!info) {
            return callback(info.error());
        }
        open_epoch({info->admission.drive, info->admission.epoch}, mode, callback);
    });
}

std::shared_ptr<void> BladeCatalogue::hold(const std::string&, const DriveReference& name) {
    const Key key{name.drive, name.epoch};
    ++held_[key].files;
    return std::shared_ptr<void>(this, [this, key](void*) { let_go(key); });
}

void BladeCatalogue::let_go(const Key& key) {
    const auto found = held_.find(key);
    if (--found->second.files > 0) {
        return;
    }
    const auto waiting = held_.extract(found);
    for (const auto& drain : waiting.mapped().drains) {
        drain();
    }
}

BladeCatalogue::Open& BladeCatalogue::entry(const Key& key) {
    Open& open = open_[key];
    if (!open.drive) {
        BladeDrive::Settings settings;
        settings.uri = exports_.uri({key.first, key.second, 0});
        settings.blade = settings_.blade;
        settings.drive = key.first;
        settings.epoch = key.second;
        settings.pause_limit = settings_.pause_limit;
        open.drive = std::make_shared<BladeDrive>(loop_, epochs_, std::move(settings),
                                                  [this, key](DrainAnswer answer) { closed(key, std::move(answer)); });
    }
    return open;
}

void BladeCatalogue::open_epoch(const Key& key, Mode mode,
                                std::function<void(Result<std::shared_ptr<View>>)> callback) {
    if (giving_up_) {
        return callback(Error{ESHUTDOWN, "this drivebayfs is ending"});
    }
    Open& open = entry(key);
    if (open.drive->closing()) {
        open.after.push_back([this, key, mode, callback = std::move(callback)] { open_epoch(key, mode, callback); });
        return;
    }
    open.drive->open(mode, std::move(callback));
}

void BladeCatalogue::closed(const Key& key, DrainAnswer answer) {
    auto gone = open_.extract(key);
    if (answer.outcome == protocol::Outcome::lost) {
        log::error("not all of an epoch is on the drive",
                   {{"drive", key.first}, {"epoch", key.second}, {"error", answer.error}});
    }
    if (answer.outcome != protocol::Outcome::unknown) {  // what is not known may be asked for again
        std::erase_if(past_, [&](const auto& item) { return item.first == key; });
        past_.emplace_back(key, answer);
        if (past_.size() > remembered) {
            past_.pop_front();
        }
    }
    for (const auto& callback : gone.mapped().drains) {
        callback(answer);
    }
    for (const auto& again : gone.mapped().after) {
        again();
    }
    if (open_.empty() && stopped_) {
        std::exchange(stopped_, {})();
    }
}

void BladeCatalogue::drain(const std::string& drive, const std::string& blade, Epoch epoch,
                           std::function<void(DrainAnswer)> callback) {
    if (blade != settings_.blade) {
        return callback({protocol::Outcome::unknown,
                         fmt::format("this is the drivebayfs of {}, not of {}", settings_.blade, blade)});
    }
    const Key key{drive, epoch};
    if (const auto held = held_.find(key); held != held_.end()) {
        held->second.drains.push_back([this, drive, blade, epoch, callback = std::move(callback)] {
            this->drain(drive, blade, epoch, callback);
        });
        return;
    }
    if (const auto found = open_.find(key); found != open_.end()) {
        found->second.drains.push_back(std::move(callback));
        return;
    }
    const auto past = std::find_if(past_.begin(), past_.end(), [&](const auto& item) { return item.first == key; });
    if (past != past_.end()) {
        return callback(past->second);
    }
    if (const KeptEpoch* const record = epochs_.find(drive, epoch); record != nullptr && record->state != KeptEpoch::open) {
        return callback(record->state == KeptEpoch::lost
                            ? DrainAnswer{protocol::Outcome::lost, fmt::format("writes of epoch {} of {} were lost", epoch, drive)}
                            : DrainAnswer{protocol::Outcome::drained, ""});
    }
    Open& open = entry(key);
    open.drains.push_back(std::move(callback));
    open.drive->settle();
}

ServiceStatus BladeCatalogue::status() {
    ServiceStatus status;
    status.role = "blade";
    for (const auto& [key, open] : open_) {
        status.views.push_back(open.drive->status());
    }
    for (const auto& [key, held] : held_) {
        if (!open_.contains(key)) {
            ViewStatus& waiting = status.views.emplace_back();
            waiting.admission.drive = key.first;
            waiting.admission.blade = settings_.blade;
            waiting.admission.epoch = key.second;
            waiting.state = ViewStatus::State::offline;
            waiting.handles = held.files;
        }
    }
    return status;
}

void BladeCatalogue::stop(std::function<void()> stopped) {
    if (open_.empty()) {
        return stopped();
    }
    stopped_ = std::move(stopped);
}

void BladeCatalogue::give_up_after(Duration limit) {
    loop_.call_after(limit, [this] {
        giving_up_ = true;
        const std::map<Key, Open> left = open_;  // giving up may close, and take out of the map, at once
        for (const auto& [key, open] : left) {
            log::warning("not flushed before the end", {{"drive", key.first}, {"epoch", key.second}});
            open.drive->give_up();
        }
    });
}

}  // namespace drivebay
