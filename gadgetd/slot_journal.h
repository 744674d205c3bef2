// The planner's journal in the run folder: one small JSON file a slot, replaced by rename(2), so that a reader finds
// the old entry or the new one. It is to outlive the daemon, not the machine: entries of another boot are nobody's,
// because the gadget was gone in between.
#pragma once

#include <string>

#include "gadgetd/gadget_events.h"
#include "lib/base/result.h"

namespace drivebay::gadgetd {

class SlotJournal {
public:
    // `boot_id`: the running kernel's.
    SlotJournal(std::string run_dir, std::string boot_id)
        : run_dir_(std::move(run_dir)), boot_id_(std::move(boot_id)) {}

    // No file, or one of another boot: an empty entry. A damaged one: EBADMSG.
    Result<JournalEntry> load(int slot) const;
    Status save(int slot, const JournalEntry& entry) const;

private:
    std::string path(int slot) const { return run_dir_ + "/slot-" + std::to_string(slot) + ".json"; }

    std::string run_dir_;
    std::string boot_id_;
};

// Writes `text` beside `path` and renames it there. Also for the session's file.
Status replace_file(const std::string& path, const std::string& text);

}  // namespace drivebay::gadgetd
