// Which slot of a blade a drive goes into.
#pragma once

#include <optional>
#include <string>

#include "arbiter/core/lease_core.h"

namespace drivebay::arbiter {

struct SlotChoice {
    int slot = -1;
    std::string notice;  // for the operator; empty: nothing to say
};

// The asked slot if it can be, else the lowest free one whose kind fits: a CD goes into a cdrom slot, or into a disk
// slot with a notice; a disk into disk slots only. `own`: a lease of the same drive and blade that is ending, whose
// slot is as good as free; nullptr: none.
std::variant<SlotChoice, Refusal> choose_slot(const State& state, const Drive& drive, const Blade& blade,
                                              std::optional<int> asked, const Lease* own);

// As what a drive is shown in a slot: as a CD only where both are one and the size lets it.
DriveKind shown_as(const Drive& drive, const Blade& blade, int slot);

}  // namespace drivebay::arbiter
