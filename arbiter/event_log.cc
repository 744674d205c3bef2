#include "arbiter/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/clock.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {
namespace {

constexpr std::size_t kept_in_memory = 4096;
constexpr off_t read_back_bytes = 1024 * 1024;

}  // namespace

Result<std::unique_ptr<EventLog>> EventLog::open(const std::string& path, std::uint64_t least) {
    std::unique_ptr<EventLog> log(new EventLog(path));
    if (Status opened = log->reopen(); !opened) {
        return opened.error();
    }
    log->read_back();
    log->last_ = std::max(log->last_, least);
    log->drawn_up_ = log->last_;
    return log;
}

Status EventLog::reopen() {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
    UniqueFd file(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) {
        return system_error(errno, "cannot open the audit log " + path_);
    }
    const std::lock_guard lock(mutex_);
    file_ = std::make_shared<UniqueFd>(std::move(file));
    return success();
}

void EventLog::read_back() {
    struct stat status {};
    if (::fstat(file_->get(), &status) != 0 || status.st_size == 0) {
        return;
    }
    const off_t from = std::max<off_t>(0, status.st_size - read_back_bytes);
    std::string text(static_cast<std::size_t>(status.st_size - from), '\0');
    const ssize_t got = ::pread(file_->get(), text.data(), text.size(), from);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    // A last line that a power cut left half written must not swallow the next one.
    if (!text.empty() && text.back() != '\n' && ::write(file_->get(), "\n", 1) != 1) {
        log::warning("the audit log cannot be written", {{"path", path_}, {"errno", errno}});
    }
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        std::string line = text.substr(start, end - start);
        start = end + 1;
        const auto parsed = nlohmann::json::parse(line, nullptr, false);
        const auto id = parsed.is_object() ? parsed.find("id") : parsed.end();
        if (parsed.is_object() && id != parsed.end() && id->is_number_unsigned()) {
            keep({{id->get<std::uint64_t>(), std::move(line)}});
        }
    }
}

void EventLog::keep(std::vector<Line> lines) {
    for (Line& line : lines) {
        last_ = std::max(last_, line.id);
        recent_.push_back(std::move(line));
        if (recent_.size() > kept_in_memory) {
            recent_.pop_front();
        }
    }
}

EventLog::Line EventLog::draw_up(const AuditEntry& entry) {
    nlohmann::ordered_json json;
    json["id"] = ++drawn_up_;
    json["time"] = wall_time();
    json["event"] = entry.event;
    const auto add = [&json](const char* key, const auto& value) {
        if (value != std::decay_t<decltype(value)>{}) {
            json[key] = value;
        }
    };
    add("drive", entry.drive);
    add("blade", entry.blade);
    add("lease", entry.lease);
    add("epoch", entry.epoch);
    add("mode", entry.mode);
    add("by", entry.by);
    add("detail", entry.detail);
    return {drawn_up_, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

void EventLog::write(const std::vector<Line>& lines) {
    std::string bytes;
    for (const Line& line : lines) {
        bytes += line.json + "\n";
    }
    std::shared_ptr<const UniqueFd> file;
    {
        const std::lock_guard lock(mutex_);
        file = file_;
    }
    const bool written = ::write(file->get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    if (!written && !failing_) {
        log::error("the audit log cannot be written; events are kept in memory only",
                   {{"path", path_}, {"errno", errno}});
    }
    failing_ = !written;
}

std::vector<EventLog::Line> EventLog::after(std::uint64_t after, std::size_t most) const {
    std::vector<Line> lines;
    for (const Line& line : recent_) {
        if (line.id > after && lines.size() < most) {
            lines.push_back(line);
        }
    }
    return lines;
}

}  // namespace drivebay::arbiter
