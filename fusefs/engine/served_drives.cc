#include "fusefs/engine/served_drives.h"

#include <utility>

#include "lib/base/log.h"

namespace drivebay {

using namespace std::chrono_literals;

namespace {

// A drive that cannot be opened now has no identity yet: its source is looked at again for each probe.
struct NamedSource {
    std::string name;
    std::string source;
};

struct Looked {
    Result<MediumIdentity> identity;
    std::string conflict;
};

std::string conflict_sentence(const std::string& source, const std::string& other, const std::string& other_source) {
    return "the source " + log::quoted(source) + " is the same medium as the drive " + log::quoted(other) + " (" +
           log::quoted(other_source) + "), or shares a part of it; one medium has one name";
}

}  // namespace

ServedDrives::ServedDrives(AioResources resources, Settings settings)
    : resources_(resources),
      context_{resources,
               std::move(settings.boot_id),
               settings.trust_reconnect,
               std::move(settings.policies),
               [this](const std::string& name, const MediumIdentity& identity) { return conflict(name, identity); },
               std::move(settings.mark_writes),
               [this] { note_change(); },
               std::move(settings.fenced)},
      changed_(std::move(settings.changed)) {}

ServedDrives::~ServedDrives() { *alive_ = false; }

void ServedDrives::apply(const TableState& table) {
    if (stopping_) {
        return;
    }
    std::map<std::string, ServedDrive::Admissions> admissions;
    for (const auto& [key, row] : table.admissions) {
        admissions[key.first].emplace(key.second, row);
    }
    for (const auto& [name, row] : table.drives) {
        std::unique_ptr<ServedDrive>& drive = drives_[name];
        if (!drive) {
            drive = std::make_unique<ServedDrive>(context_, name);
        }
    }
    for (const auto& [name, drive] : drives_) {
        const auto row = table.drives.find(name);
        drive->want(row == table.drives.end() ? nullptr : &row->second, std::move(admissions[name]));
    }
    note_change();
}

ServedDrive* ServedDrives::find(const std::string& name) {
    const auto found = drives_.find(name);
    return found == drives_.end() ? nullptr : found->second.get();
}

ServedReport ServedDrives::report() const {
    ServedReport report;
    for (const auto& [name, drive] : drives_) {
        if (const auto observed = drive->observed()) {
            report.drives.push_back(*observed);
        }
        for (const auto& [epoch, view] : drive->views()) {
            if (!view->ended()) {
                report.open_views.push_back(view->info().admission);
            }
        }
        for (protocol::Counters& counters : drive->counters()) {
            report.counters.push_back(std::move(counters));
        }
    }
    return report;
}

void ServedDrives::note_change() {
    if (change_noted_) {
        return;
    }
    change_noted_ = true;
    resources_.loop.at_round_end([this, alive = alive_] {
        if (!*alive) {
            return;
        }
        change_noted_ = false;
        std::erase_if(drives_, [](const auto& entry) { return entry.second->gone(); });
        changed_();
        if (stopping_ && drives_.empty() && stopped_) {
            std::exchange(stopped_, nullptr)();  // the last: it may destroy this
        }
    });
}

void ServedDrives::stop(std::function<void()> stopped) {
    stopping_ = true;
    stopped_ = std::move(stopped);
    for (const auto& [name, drive] : drives_) {
        drive->stop();
    }
    note_change();
}

std::string ServedDrives::conflict(const std::string& name, const MediumIdentity& identity) const {
    const ServedDrive* const self = drives_.at(name).get();
    for (const auto& [other_name, other] : drives_) {
        if (other.get() != self && other->identity() && other->row() != nullptr &&
            overlaps(identity, *other->identity())) {
            return conflict_sentence(self->row() == nullptr ? name : self->row()->drive.source, other_name,
                                     other->row()->drive.source);
        }
    }
    return "";
}

void ServedDrives::probe(const protocol::Probe& probe, std::function<void(protocol::Probed)> callback) {
    std::vector<NamedSource> unopened;
    std::vector<std::pair<NamedSource, MediumIdentity>> opened;
    OpenWish wish;
    wish.source = probe.source;
    wish.read_only = probe.read_only || probe.kind == "cdrom";
    wish.roots = context_.policies.roots;
    wish.lock_patience = 500ms;
    for (const auto& [name, drive] : drives_) {
        if (drive->row() == nullptr) {
            continue;
        }
        const std::string& source = drive->row()->drive.source;
        if (name == probe.name) {
            wish.shared = drive->is_open() && source == probe.source;
        } else if (drive->identity()) {
            opened.push_back({{name, source}, *drive->identity()});
        } else {
            unopened.push_back({name, source});
        }
    }
    const auto answer = [probe, callback = std::move(callback)](const Result<ProbedDrive>& probed) {
        protocol::Probed message;
        message.id = probe.id;
        message.ok = probed.ok();
        if (probed) {
            message.size = probed->size;
            message.kind = probed->verdict.kind;
            message.read_only = probed->verdict.read_only;
            message.notice = probed->verdict.notice;
        } else {
            message.error = probed.error().message;
        }
        callback(message);
    };
    const auto look = [source = probe.source, unopened, opened]() -> Looked {
        Looked looked{identify_medium(source), ""};
        if (!looked.identity) {
            return looked;
        }
        for (const auto& [other, identity] : opened) {
            if (overlaps(*looked.identity, identity)) {
                looked.conflict = conflict_sentence(source, other.name, other.source);
            }
        }
        for (const NamedSource& other : unopened) {
            const Result<MediumIdentity> identity = identify_medium(other.source);
            if (identity && overlaps(*looked.identity, *identity)) {
                looked.conflict = conflict_sentence(source, other.name, other.source);
            }
        }
        return looked;
    };
    const std::optional<DriveKind> asked = parse_drive_kind(probe.kind);
    resources_.workers.compute(look, [resources = resources_, wish, asked, answer](const Looked& looked) {
        if (looked.identity && !looked.conflict.empty()) {
            return answer(Error{EEXIST, looked.conflict});
        }
        // A source that cannot even be looked at is refused by the opening, with the better sentence.
        probe_drive(resources, wish, asked, answer);
    });
}

}  // namespace drivebay
