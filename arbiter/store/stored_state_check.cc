#include "arbiter/store/stored_state_check.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {
namespace {

// Numbers that only count upwards by one never come here.
constexpr std::uint64_t beyond_counting = std::uint64_t{1} << 53;

class Check {
public:
    explicit Check(const State& state) : state_(state) {}

    std::vector<std::string> run() {
        check_numbers();
        check_names();
        for (const auto& [id, lease] : state_.leases) {
            check_lease(lease);
        }
        check_company();
        return std::move(findings_);
    }

private:
    template <class... Values>
    void find(fmt::format_string<Values...> form, const Values&... values) {
        findings_.push_back(fmt::vformat(form, fmt::make_format_args(values...)));
    }

    static std::string name_of(const Lease& lease) {
        return fmt::format("lease {} ({} on {}, {}, {})", lease.id, log::quoted(lease.drive), log::quoted(lease.blade),
                           to_string(lease.mode), to_string(lease.state));
    }

    void check_numbers() {
        const bool has_rows =
            !state_.drives.empty() || !state_.blades.empty() || !state_.leases.empty() || !state_.epochs.empty();
        if (state_.term == 0 && has_rows) {
            find("the term is missing, although an arbiter ran on this store");
        }
        // Versions are made of the term (first_version()).
        if (state_.term >= std::uint64_t{1} << 40) {
            find("the term {} cannot be reached by counting", state_.term);
        }
        if (state_.last_lease >= beyond_counting) {
            find("the last lease's id {} cannot be reached by counting", state_.last_lease);
        }
        for (const auto& [drive, epoch] : state_.epochs) {
            if (epoch >= beyond_counting) {
                find("the epoch {} of drive {} cannot be reached by counting", epoch, log::quoted(drive));
            }
        }
    }

    void check_names() {
        for (const auto& [name, drive] : state_.drives) {
            if (const Status good = check_name("drive", name); !good) {
                findings_.push_back(good.error().message);
            }
        }
        for (const auto& [name, blade] : state_.blades) {
            if (const Status good = check_name("blade", name); !good) {
                findings_.push_back(good.error().message);
            }
            if (!blade.slots.empty() && blade.slots.begin()->first < 0) {
                find("blade {} has slot {}", log::quoted(name), blade.slots.begin()->first);
            }
        }
    }

    void check_lease(const Lease& lease) {
        const std::string name = name_of(lease);
        if (lease.id == 0 || lease.id > state_.last_lease) {
            find("{} has an id that was not given yet: the last one is {}", name, state_.last_lease);
        }
        if (lease.successor > state_.last_lease || lease.taker > state_.last_lease) {
            find("{} refers to a lease that does not exist yet (successor {}, taker {})", name, lease.successor,
                 lease.taker);
        }
        if (is_gone(lease)) {
            find("{} is gone and yet stored", name);
        }
        const bool waits = lease.state == LeaseState::waiting;
        if (waits != (lease.epoch == 0)) {
            find("{} {}", name, waits ? "waits and has an epoch" : "has no epoch and does not wait");
        }
        if (lease.wanted && (lease.state == LeaseState::revoking || lease.state == LeaseState::fencing)) {
            find("{} is ended and presented", name);
        }
        const auto last = state_.epochs.find(lease.drive);
        const Epoch known = last == state_.epochs.end() ? 0 : last->second;
        if (lease.epoch > known) {
            find("{} has epoch {}, and the drive's last is {}", name, lease.epoch, known);
        }
        if (!is_local(lease) && lease.slot < 0) {
            find("{} has slot {}", name, lease.slot);
        }
    }

    void check_company() {
        std::map<std::pair<std::string, std::string>, int> waiting;
        std::map<std::pair<std::string, std::string>, int> active;
        std::map<std::pair<std::string, std::string>, int> wanted;
        std::map<std::pair<std::string, int>, const Lease*> slots;
        std::map<std::string, std::vector<const Lease*>> of_drive;
        std::map<std::pair<std::string, Epoch>, LeaseId> epochs;
        for (const auto& [id, lease] : state_.leases) {
            const std::pair key(lease.drive, lease.blade);
            if (lease.state == LeaseState::waiting && ++waiting[key] == 2) {
                find("{} waits beside another of its blade", name_of(lease));
            }
            if (lease.wanted && !is_local(lease) && ++wanted[key] == 2) {
                find("{} is presented to its blade beside another", name_of(lease));
            }
            if (lease.epoch != 0 && !epochs.try_emplace({lease.drive, lease.epoch}, id).second) {
                find("{} has the epoch {} of another lease", name_of(lease), lease.epoch);
            }
            if (lease.state != LeaseState::waiting && !is_active(lease)) {
                continue;
            }
            // A drive waits in the slot that it has: its access changes.
            const Lease* const other = is_local(lease) ? &lease : slots.try_emplace({lease.blade, lease.slot}, &lease).first->second;
            if (other->drive != lease.drive) {
                find("{} shares slot {} with lease {}", name_of(lease), lease.slot, other->id);
            }
            if (!is_active(lease)) {
                continue;
            }
            if (++active[key] == 2) {
                find("{} is active beside another of its blade", name_of(lease));
            }
            of_drive[lease.drive].push_back(&lease);
        }
        for (const auto& [drive, leases] : of_drive) {
            check_together(leases);
        }
    }

    // One writer among a thousand readers is two sentences, not a thousand.
    void check_together(const std::vector<const Lease*>& leases) {
        for (std::size_t i = 1; i < leases.size(); ++i) {
            if (!coexist(leases[i - 1]->mode, leases[i]->mode)) {
                find("{} and {} cannot both be active", name_of(*leases[i - 1]), name_of(*leases[i]));
            }
        }
    }

    const State& state_;
    std::vector<std::string> findings_;
};

}  // namespace

std::vector<std::string> check_stored_state(const State& state) {
    return Check(state).run();
}

}  // namespace drivebay::arbiter
