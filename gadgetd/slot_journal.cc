#include "gadgetd/slot_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "gadgetd/attribute.h"
#include "lib/base/fd.h"

namespace drivebay::gadgetd {

namespace {

using nlohmann::json;
using protocol::Outcome;
using Phase = JournalEntry::Phase;

const std::pair<Phase, const char*> phases[] = {
    {Phase::none, "none"}, {Phase::inserting, "inserting"}, {Phase::loaded, "loaded"}, {Phase::leaving, "leaving"}};

protocol::LastMedium decode_last(const json& text) {
    protocol::LastMedium medium{text.at("drive"), text.at("epoch"), Outcome::unknown, text.at("by_host"),
                                text.value("wish", std::uint64_t{0})};
    for (Outcome outcome : {Outcome::drained, Outcome::lost}) {
        if (text.at("outcome") == protocol::to_string(outcome)) {
            medium.outcome = outcome;
        }
    }
    return medium;
}

json encode_last(const protocol::LastMedium& medium) {
    return {{"drive", medium.drive},
            {"epoch", medium.epoch},
            {"outcome", std::string(protocol::to_string(medium.outcome))},
            {"by_host", medium.by_host},
            {"wish", medium.wish}};
}

JournalEntry decode(const json& text) {
    JournalEntry entry;
    const std::string phase = text.at("phase");
    bool known = false;
    for (auto [value, name] : phases) {
        if (phase == name) {
            entry.phase = value;
            known = true;
        }
    }
    if (!known) {
        throw std::runtime_error("unknown phase " + phase);
    }
    if (entry.phase != Phase::none) {
        entry.medium = {text.at("drive"), text.at("epoch"), text.at("file"), text.value("wish", std::uint64_t{0})};
        entry.by_host = text.at("by_host");
    }
    entry.why = text.value("why", "");
    entry.since = Instant(Duration(text.value("since_ns", std::int64_t{0})));
    if (const json& last = text.at("last"); !last.is_null()) {
        entry.last = decode_last(last);
    }
    for (const json& medium : text.value("put_out", json::array())) {
        entry.put_out.push_back(decode_last(medium));
    }
    return entry;
}

json encode(const JournalEntry& entry, const std::string& boot_id) {
    json text{{"boot_id", boot_id}, {"last", nullptr}};
    for (auto [value, name] : phases) {
        if (value == entry.phase) {
            text["phase"] = name;
        }
    }
    if (entry.phase != Phase::none) {
        text["drive"] = entry.medium.drive;
        text["epoch"] = entry.medium.epoch;
        text["file"] = entry.medium.file;
        text["by_host"] = entry.by_host;
        text["wish"] = entry.medium.wish;
    }
    if (!entry.why.empty()) {
        text["why"] = entry.why;
    }
    if (entry.since != Instant{}) {
        text["since_ns"] = std::chrono::duration_cast<std::chrono::nanoseconds>(entry.since.time_since_epoch()).count();
    }
    if (entry.last) {
        text["last"] = encode_last(*entry.last);
    }
    text["put_out"] = json::array();
    for (const protocol::LastMedium& medium : entry.put_out) {
        text["put_out"].push_back(encode_last(medium));
    }
    return text;
}

}  // namespace

Result<JournalEntry> SlotJournal::load(int slot) const {
    Result<std::string> text = read_attribute(path(slot));
    if (!text) {
        return text.error().code == ENOENT ? Result<JournalEntry>(JournalEntry{}) : Result<JournalEntry>(text.error());
    }
    try {
        json parsed = json::parse(*text);
        return parsed.at("boot_id") == boot_id_ ? decode(parsed) : JournalEntry{};
    } catch (const std::exception& failure) {
        return Error{EBADMSG, path(slot) + " is damaged: " + failure.what()};
    }
}

Status SlotJournal::save(int slot, const JournalEntry& entry) const {
    return replace_file(path(slot), encode(entry, boot_id_).dump() + "\n");
}

Status replace_file(const std::string& path, const std::string& text) {
    std::string beside = path + ".new";
    UniqueFd file(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) {
        return system_error(errno, "cannot write " + beside);
    }
    ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 || static_cast<std::size_t>(put) != text.size()) {
        return system_error(put < 0 ? errno : ENOSPC, "cannot write " + beside);
    }
    if (rename(beside.c_str(), path.c_str()) != 0) {
        return system_error(errno, "cannot replace " + path);
    }
    return success();
}

}  // namespace drivebay::gadgetd
