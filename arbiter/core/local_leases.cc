// The management module's own use of a drive: a lease of @local, granted or refused at once, never queued.
#include <fmt/format.h>

#include <algorithm>

#include "arbiter/core/refusals.h"
#include "arbiter/core/step.h"
#include "lib/base/names.h"
#include "lib/base/planted_bug.h"

namespace drivebay::arbiter {

void Step::handle(const LocalAcquired& acquired) {
    const auto& request = acquired.request;
    protocol::LocalAnswer answer{request.id, false, 0, {}};
    const std::string blade(local_blade);
    Lease* own = nullptr;
    for (auto& [id, lease] : state_.leases) {
        if (lease.drive == request.drive && is_local(lease) && !is_gone(lease)) {
            own = &lease;
        }
    }
    // One that this store does not remember, being fenced.
    const bool own_stray = std::any_of(state_.strays.begin(), state_.strays.end(), [&](const auto& entry) {
        return entry.first.drive == request.drive && entry.first.blade == blade;
    });
    Lease wish;
    wish.drive = request.drive;
    wish.blade = blade;
    wish.mode = request.mode;
    wish.order = state_.last_order + 1;
    if (!state_.drives.contains(request.drive)) {
        answer.error = no_such_drive(state_, request.drive).message;
    } else if (request.mode == Mode::write && state_.drives.at(request.drive).read_only) {
        answer.error = fmt::format("drive {} is read-only", request.drive);
    } else if (own && is_active(*own) && (own->mode == Mode::write || own->mode == request.mode)) {
        answer.granted = true;
        answer.epoch = own->epoch;
    } else if (own) {
        answer.error =
            fmt::format("drive {} is open for {} on the management module already, or is just being closed there",
                        request.drive, own->mode == Mode::read ? "reading" : "writing");
    } else if (own_stray) {
        answer.error = fmt::format("drive {} is just being closed on the management module", request.drive);
    } else if (const std::string hindered = hindrance(state_, request.drive); !hindered.empty()) {
        answer.error = hindered;
    } else if (const auto holders = behind(state_, wish);
               !holders.empty() && !planted(PlantedBug::local_use_ignores_holders)) {
        answer.error = fmt::format("drive {} is in use by {}", request.drive, name_holders(holders));
    } else {
        Lease& lease = new_lease(request.drive, blade, request.mode, -1);
        lease.epoch = next_epoch(request.drive);
        lease.state = LeaseState::held;
        lease.wanted = false;
        audit("granted", lease);
        answer.granted = true;
        answer.epoch = lease.epoch;
    }
    actions_.local_answers.push_back(std::move(answer));
}

void Step::handle(const LocalReleased& released) {
    const auto& release = released.release;
    Lease* lease = find_by_epoch(state_, release.drive, std::string(local_blade), release.epoch);
    if (lease) {
        const bool was_fencing = lease->state == LeaseState::fencing;
        lease->ending = Ending::closed;
        lease->outcome = "closed on the management module";
        audit("closed", *lease);
        finish(*lease);
        if (was_fencing) {
            table_changed();
        }
    }
}

}  // namespace drivebay::arbiter
