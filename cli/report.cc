#include "cli/report.h"

#include <fmt/format.h>

#include <chrono>

namespace drivebay::cli {
namespace {

using nlohmann::json;

std::string plain(const json& value) {
    if (value.is_null()) {
        return "";
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "yes" : "no";
    }
    return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string plain(const json& object, const char* key) {
    const auto value = object.find(key);
    return value == object.end() ? "" : plain(*value);
}

// An epoch of 0 means none.
std::string epoch_of(const json& lease) {
    const std::string text = plain(lease, "epoch");
    return text == "0" ? "" : text;
}

// A slot of -1 means none: the management module's own use.
std::string slot_of(const json& lease) {
    const std::string text = plain(lease, "slot");
    return text == "-1" ? "" : text;
}

std::string size(const json& object, const char* key) {
    const auto value = object.find(key);
    const bool is_known = value != object.end() && value->is_number_unsigned();
    return is_known ? human_size(value->get<std::uint64_t>()) : "";
}

std::string duration(const json& object, const char* key) {
    const auto value = object.find(key);
    return value != object.end() && value->is_number_unsigned() ? human_duration(value->get<std::uint64_t>()) : "";
}

// Until the holder's session expires; a blade that is away has none left, the management module itself needs none.
std::string time_left(const json& lease) {
    const bool is_local = plain(lease, "blade") == "@local";
    const std::string left = duration(lease, "session_left_ms");
    return left.empty() && !is_local && lease.contains("session_left_ms") ? "expired" : left;
}

Cell state(const json& object, const char* key) {
    const std::string text = plain(object, key);
    return Cell(text, colour_of_state(text));
}

Cell medium(const json& slot) {
    Cell medium = state(slot, "state");
    if (const std::string error = plain(slot, "error"); !error.empty()) {
        medium.text += ": " + error;
    } else if (slot.value("host_locked", false)) {
        medium.text += " (in use by the host)";
    }
    return medium;
}

// How the host sees the device; of a blade that is away nobody knows.
std::string usb(const json& blade) {
    const std::string speed = plain(blade, "speed");
    return blade.value("online", false) ? plain(blade, "udc") + (speed.empty() ? "" : ", " + speed) : "";
}

std::string age_since(const json& object, const char* key) {
    const auto value = object.find(key);
    const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    return value != object.end() && value->is_number_integer() && *value <= now
               ? human_duration(static_cast<std::uint64_t>(now - value->get<std::int64_t>()))
               : "";
}

std::string access_of_drive(const json& drive) {
    const auto read_only = drive.find("read_only");
    return read_only != drive.end() && read_only->is_boolean() ? (read_only->get<bool>() ? "read" : "read, write") : "";
}

}  // namespace

Table drive_table(const json& drives) {
    Table table({"DRIVE", "KIND", "SIZE", "ACCESS", "STATE", "SOURCE"});
    for (const json& drive : drives) {
        const std::string error = plain(drive, "error");
        const std::string source = plain(drive, "source");
        table.add({plain(drive, "name"), plain(drive, "kind"), size(drive, "size"), access_of_drive(drive),
                   state(drive, "state"), error.empty() ? source : fmt::format("{}: {}", source, error)});
    }
    return table;
}

Table blade_table(const json& blades) {
    Table table({"BLADE", "STATE", "USB", "SLOT", "KIND", "DRIVE", "ACCESS", "MEDIUM"});
    for (const json& blade : blades) {
        const bool is_online = blade.value("online", false);
        const std::string presence = is_online ? "online" : "offline";
        const Cell head(presence, colour_of_state(presence));
        const auto slots = blade.find("slots");
        if (slots == blade.end() || slots->empty()) {
            table.add({plain(blade, "name"), head});
            continue;
        }
        for (const json& slot : *slots) {
            table.add({plain(blade, "name"), head, usb(blade), plain(slot, "slot"), plain(slot, "kind"), plain(slot, "drive"),
                       plain(slot, "access"), medium(slot)});
        }
    }
    return table;
}

Table slot_table(const json& blade) {
    Table table({"SLOT", "KIND", "DRIVE", "ACCESS", "MEDIUM", "SINCE", "READ", "WRITTEN", "ERRORS"});
    for (const json& slot : blade.value("slots", json::array())) {
        const json served = slot.value("served", json::object());
        table.add({plain(slot, "slot"), plain(slot, "kind"), plain(slot, "drive"), plain(slot, "access"), medium(slot),
                   age_since(slot, "since"), size(served, "read_bytes"), size(served, "written_bytes"), plain(served, "errors")});
    }
    return table;
}

Table lease_table(const json& leases) {
    Table table({"LEASE", "DRIVE", "BLADE", "ACCESS", "EPOCH", "STATE", "SLOT", "AGE", "LEFT", "BEHIND"});
    for (const json& lease : leases) {
        std::string behind;
        if (const auto holders = lease.find("behind"); holders != lease.end() && holders->is_array()) {
            for (const json& holder : *holders) {
                behind +=
                    fmt::format("{}{} ({})", behind.empty() ? "" : ", ", plain(holder, "blade"), plain(holder, "mode"));
            }
        }
        table.add({plain(lease, "id"), plain(lease, "drive"), plain(lease, "blade"), plain(lease, "mode"),
                   epoch_of(lease), state(lease, "state"), slot_of(lease), duration(lease, "age_ms"), time_left(lease),
                   behind});
    }
    return table;
}

std::string describe(const json& object) {
    std::string text;
    for (const auto& [key, value] : object.items()) {
        if (value.is_array() && !value.empty() && value.front().is_object()) {
            for (const json& entry : value) {
                text += fmt::format("{}: {}\n", key, printable(plain(entry)));
            }
            continue;
        }
        const std::string shown = printable(plain(value));
        const bool is_size = key == "size" && value.is_number_unsigned();
        text += fmt::format("{}: {}{}\n", key, shown.empty() ? "-" : shown,
                            is_size ? fmt::format(" ({})", human_size(value.get<std::uint64_t>())) : "");
    }
    return text;
}

}  // namespace drivebay::cli
