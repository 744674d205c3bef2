// The witness: sees everything from outside and knows what must never be. Its invariants have the numbers of
// doc/DESIGN.md, "What the simulator checks"; a broken one is thrown.
#pragma once

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "fusefs/engine/admission_plan.h"
#include "lib/protocol/messages.h"

namespace drivebay::sim {

struct BrokenInvariant : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Sequence = std::uint64_t;  // of a host's write, rising over all hosts; 0: none

inline constexpr std::size_t blocks_a_drive = 6;

// One drive's blocks: what is on it now, and what a power cut would leave.
struct Medium {
    struct Block {
        Sequence applied = 0;
        Sequence stable = 0;
    };
    std::vector<Block> blocks = std::vector<Block>(blocks_a_drive);
};

struct Holding {
    std::string blade;
    std::string drive;
    Epoch epoch = 0;
    auto operator<=>(const Holding&) const = default;
};

class Ledger {
public:
    // ---- writes
    Sequence submitted(const Holding& by, std::size_t block);
    // The drive takes a write. Before it is answered.
    void applied(const Holding& by, std::size_t block, Sequence write);
    // The host saw it complete.
    void acknowledged(const Holding& by, std::size_t block, Sequence write);
    // What a flush that begins now promises once it is answered.
    using Promise = std::map<std::size_t, Sequence>;
    Promise promise(const std::string& drive) const;
    Promise acknowledged_of(const Holding& by) const;
    void flushed(const std::string& drive, const Promise& content);
    // `sent_after_cuts`: power_cuts() when it was sent.
    void flush_acknowledged(const Holding& by, const Promise& promised, unsigned sent_after_cuts);
    unsigned power_cuts() const { return power_cuts_; }
    // The management machine loses power: of each block the stable content or the applied one is left.
    template <class Keeps>
    void power_cut(Keeps keeps) {
        power_cut_at_ = last_;
        ++power_cuts_;
        for (auto& [drive, medium] : media_) {
            for (std::size_t block = 0; block < blocks_a_drive; ++block) {
                survive(drive, block, keeps());
            }
        }
    }

    // ---- the data path
    void table_is_durable(const TableState& before, const TableState& after);
    // An I/O was let through a gate.
    void entered(const Holding& by);
    void gate_closed(const Holding& whose);
    void fenced(const Holding& whose, bool flushed);

    // ---- the arbiter
    void presented(std::uint64_t lease);
    // `leads`: the data path is on this arbiter's link.
    void granted(const Admission& admission, std::uint64_t lease, std::uint64_t wish, bool leads);
    // The arbiter counts its fence as done.
    void taken_for_fenced(const Holding& whose) const;
    void said_ejected_by_host(const Holding& whose) const;
    void said_never_loaded(const Holding& whose);

    // ---- blades
    void inserted(const Holding& what, std::uint64_t wish, const std::string& boot);
    void left_lun(const Holding& what);
    void ejected_by_host(const Holding& what, std::uint64_t wish);
    void released(const Holding& what, protocol::Outcome outcome);
    // gadgetd died while the kernel emptied the LUN for it, or opened the file: nobody can tell any more who put it
    // out, or whether it was ever in.
    void ejected_unseen(const Holding& what);
    // A restarted gadgetd that found the LUN empty, and of the insert only its beginning recorded, heard from
    // drivebayfs that the file was never open. If that is not the drivebayfs that had it open, nobody can know better:
    // the record and the LUN's `file` are the same as if the kernel had never got to it, and both who knew are dead.
    // The host's eject is forgotten then, and only then.
    void taken_for_never_in(const Holding& what);
    // An arbiter goes on that has not heard all that was told: its epochs are given once more, and it may not know what
    // was in. What hosts have put out the blades remember.
    void store_rolled_back();
    // Its run folder is gone, and what its host did that was not told yet is forgotten.
    void blade_reboots(const std::string& blade);
    // Its drivebayfs died, and with it the memory of what the LUN ever had open, and of which boot of the server its
    // writes were answered in: if that server then loses power, too, the loss cannot be noticed (until a keeper
    // outlives drivebayfs).
    void blade_forgets(const std::string& blade);
    // Something is told by an arbiter of this term and the listener acts upon it.
    void obeyed(const std::string& listener, Term term, std::uint64_t version);

    std::uint64_t writes() const { return last_; }
    std::uint64_t grants() const { return grants_; }

private:
    void covered(const Holding& by, const Promise& promised);
    void survive(const std::string& drive, std::size_t block, bool applied);

    std::map<std::string, Medium> media_;
    Sequence last_ = 0;
    Sequence power_cut_at_ = 0;
    unsigned power_cuts_ = 0;
    std::uint64_t grants_ = 0;
    struct Block {
        Sequence acknowledged = 0;
        Sequence promised = 0;  // a flush that was answered covers it
    };
    std::map<std::pair<std::string, std::size_t>, Block> blocks_;
    std::map<Holding, Promise> acknowledged_;
    std::set<Holding> released_;
    std::set<Holding> drained_;
    std::set<Holding> forgotten_;
    std::set<Holding> opener_died_;         // the drivebayfs that had them open has died since
    std::set<Holding> lost_;                // of which a power cut took answered writes
    std::map<Holding, std::string> boots_;  // in which it was inserted
    std::set<Holding> in_lun_;
    std::set<Holding> had_;  // by a host, as far as anybody can know
    std::set<Holding> never_loaded_;
    std::map<Holding, std::uint64_t> ever_ejected_;  // for which wish; 0 where nobody could tell who did it
    std::set<std::tuple<std::string, std::string, std::uint64_t>> put_out_;  // blade, drive, wish
    std::set<std::uint64_t> presented_;
    std::map<std::pair<std::string, Epoch>, AdmissionRow> admitted_;
    std::map<std::string, Epoch> highest_;
    std::set<std::pair<std::string, Epoch>> closed_;
    std::map<std::string, std::pair<Term, std::uint64_t>> obeyed_;
};

}  // namespace drivebay::sim
