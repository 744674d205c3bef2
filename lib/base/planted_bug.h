// Bugs that the simulator plants to see whether it would catch them (`make sim-mutants`). Everywhere else planted() is
// false at compile time, and nothing of them is in any program.
#pragma once

#include <array>
#include <string_view>

namespace drivebay {

// Each is named for what it does wrong. The first group is planted in the programs' own code, at the place that
// guards against it; the second in the simulator's shells around that code, where the real shells do their part.
// clang-format off
#define DRIVEBAY_PLANTED_BUGS(bug)          \
    /* arbiter/core */                      \
    bug(dead_data_path_taken_for_fenced)    \
    bug(release_without_epoch)              \
    bug(hosts_eject_is_re_presented)        \
    bug(wish_survives_the_hosts_eject)      \
    bug(epoch_not_stored)                   \
    bug(fencing_not_stored)                 \
    bug(expiry_needs_no_waiter)             \
    bug(readers_overtake_writers)           \
    bug(local_use_ignores_holders)          \
    bug(absent_local_use_taken_for_closed)  \
    bug(strays_are_ignored)                 \
    bug(floors_are_ignored)                 \
    bug(session_survives_reboot)            \
    bug(old_report_ends_a_revocation)       \
    /* fusefs */                            \
    bug(no_term_check)                      \
    bug(floor_not_raised)                   \
    bug(gate_checks_before_it_counts)       \
    bug(gate_reports_drained_at_once)       \
    bug(no_reconnect_barrier)               \
    bug(overlapping_writes_in_flight)       \
    /* gadgetd */                           \
    bug(empty_file_taken_for_drained)       \
    bug(release_told_before_the_drain)      \
    bug(spent_epoch_is_inserted)            \
    bug(older_desired_state_is_taken)       \
    bug(eject_forgotten_at_restart)         \
    /* tests/sim */                         \
    bug(visible_before_durable)             \
    bug(admitted_table_not_durable)         \
    bug(revoking_not_durable)               \
    bug(fenced_without_flush)               \
    bug(handle_without_epoch)               \
    bug(replay_across_epochs)               \
    bug(drained_with_open_handles)          \
    bug(servers_reboot_is_ignored)          \
    bug(answered_before_it_is_applied)
// clang-format on

enum class PlantedBug {
    none,
#define DRIVEBAY_BUG_NAME(name) name,
    DRIVEBAY_PLANTED_BUGS(DRIVEBAY_BUG_NAME)
#undef DRIVEBAY_BUG_NAME
};

inline constexpr std::array planted_bug_names = {std::string_view("none"),
#define DRIVEBAY_BUG_NAME(name) std::string_view(#name),
                                                 DRIVEBAY_PLANTED_BUGS(DRIVEBAY_BUG_NAME)
#undef DRIVEBAY_BUG_NAME
};

#ifdef DRIVEBAY_WITH_PLANTED_BUGS
// The one that is switched on; set before anything runs.
inline PlantedBug planted_bug = PlantedBug::none;
inline bool planted(PlantedBug bug) {
    return planted_bug == bug;
}
#else
constexpr bool planted(PlantedBug) {
    return false;
}
#endif

}  // namespace drivebay
