#include <fmt/format.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/log_sink.h"
#include "lib/program/daemon.h"
#include "lib/program/systemd.h"

namespace drivebay::program {

void Readiness::ready(const std::string& text) {
    status_ = text;
    notify_systemd("READY=1\nSTATUS=" + text);
    if (parent_) {
        if (outlives_) {
            log::outlive_starter();
        }
        (void)!::write(parent_.get(), "r", 1);
        parent_.reset();
    }
}

void Readiness::status(const std::string& text) {
    status_ = text;
    notify_systemd("STATUS=" + text);
}

void Readiness::stopping() { notify_systemd("STOPPING=1"); }

void Readiness::reload(const std::function<void()>& apply) {
    notify_reloading();
    const config::Schema::Reloaded outcome = schema_->reload(config_, check_);
    for (const std::string& mistake : outcome.mistakes) {
        log::error("the configuration stays as it was", {{"mistake", mistake}});
    }
    for (const config::Schema::Change& change : outcome.changes) {
        log::notice(change.in_force ? "a setting changed" : "a changed setting needs a restart",
                    {{"key", change.key}, {"from", change.before}, {"to", change.after}});
    }
    if (outcome.mistakes.empty() && outcome.changes.empty()) {
        log::info("the configuration is what it was");
    }
    if (outcome.mistakes.empty()) {
        apply();
    }
    notify_systemd(status_.empty() ? "READY=1" : "READY=1\nSTATUS=" + status_);
}

}  // namespace drivebay::program
