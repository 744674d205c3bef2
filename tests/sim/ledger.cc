#include "tests/sim/ledger.h"

#include <fmt/format.h>

#include <algorithm>

namespace drivebay::sim {
namespace {

template <class... Values>
[[noreturn]] void broken(fmt::format_string<Values...> text, Values&&... values) {
    throw BrokenInvariant(fmt::format(text, std::forward<Values>(values)...));
}

std::string named(const Holding& holding) {
    return fmt::format("{}@{} of {}", holding.drive, holding.epoch, holding.blade);
}

bool coexist(const Admission& one, const Admission& other) {
    return one.blade != other.blade && one.mode == Mode::read && other.mode == Mode::read;
}

}  // namespace

Sequence Ledger::submitted(const Holding&, std::size_t) {
    return ++last_;
}

void Ledger::applied(const Holding& by, std::size_t block, Sequence write) {
    if (highest_[by.drive] > by.epoch) {
        broken("I1: write {} of {} was applied after epoch {} was admitted", write, named(by), highest_[by.drive]);
    }
    Medium::Block& on_drive = media_[by.drive].blocks.at(block);
    if (on_drive.applied > write) {
        broken("I2: write {} of {} was applied to block {} over the later write {}", write, named(by), block,
               on_drive.applied);
    }
    on_drive.applied = write;
}

void Ledger::acknowledged(const Holding& by, std::size_t block, Sequence write) {
    if (media_[by.drive].blocks.at(block).applied < write) {
        if (write <= power_cut_at_) {  // its answer was on its way when the power went
            lost_.insert(by);
            return;
        }
        broken("I2: write {} of {} to block {} was answered and is not on the drive", write, named(by), block);
    }
    if (drained_.contains(by)) {
        broken("I10: write {} of {} was answered after its release was told as drained", write, named(by));
    }
    Sequence& latest = blocks_[{by.drive, block}].acknowledged;
    latest = std::max(latest, write);
    Sequence& own = acknowledged_[by][block];
    own = std::max(own, write);
}

Ledger::Promise Ledger::promise(const std::string& drive) const {
    Promise content;
    if (const auto medium = media_.find(drive); medium != media_.end()) {
        for (std::size_t block = 0; block < blocks_a_drive; ++block) {
            content[block] = medium->second.blocks[block].applied;
        }
    }
    return content;
}

Ledger::Promise Ledger::acknowledged_of(const Holding& by) const {
    const auto found = acknowledged_.find(by);
    return found == acknowledged_.end() ? Promise{} : found->second;
}

void Ledger::flushed(const std::string& drive, const Promise& content) {
    for (const auto& [block, write] : content) {
        Sequence& stable = media_[drive].blocks.at(block).stable;
        stable = std::max(stable, write);
    }
}

void Ledger::flush_acknowledged(const Holding& by, const Promise& promised, unsigned sent_after_cuts) {
    if (lost_.contains(by) && sent_after_cuts == power_cuts_) {
        broken("I2: a flush of {} was answered although a power cut has taken writes that it covers", named(by));
    }
    covered(by, promised);
}

void Ledger::covered(const Holding& by, const Promise& promised) {
    for (const auto& [block, write] : promised) {
        if (media_[by.drive].blocks.at(block).stable < write) {
            broken("I2: a flush of {} was answered and its write {} to block {} is not stable", named(by), write,
                   block);
        }
        Sequence& covered = blocks_[{by.drive, block}].promised;
        covered = std::max(covered, write);
    }
}

void Ledger::survive(const std::string& drive, std::size_t block, bool applied) {
    Medium::Block& on_drive = media_[drive].blocks.at(block);
    on_drive.applied = applied ? on_drive.applied : on_drive.stable;
    on_drive.stable = on_drive.applied;
    if (on_drive.applied < blocks_[{drive, block}].promised) {
        broken("I2: write {} to block {} of {}, which a flush covered, was lost by a power cut",
               blocks_[{drive, block}].promised, block, drive);
    }
    for (auto& [by, writes] : acknowledged_) {
        if (const auto write = writes.find(block);
            by.drive == drive && write != writes.end() && write->second > on_drive.applied) {
            writes.erase(write);
            if (!forgotten_.contains(by)) {
                lost_.insert(by);
            }
        }
    }
}

void Ledger::table_is_durable(const TableState& before, const TableState& after) {
    if (after.term < before.term) {
        broken("I8: the data path obeyed term {} after term {}", after.term, before.term);
    }
    for (const auto& [key, row] : after.admissions) {
        if (before.admissions.contains(key)) {
            continue;
        }
        Epoch& highest = highest_[key.first];
        if (key.second <= highest) {
            broken("I4: epoch {} of {} was admitted after epoch {}", key.second, key.first, highest);
        }
        highest = key.second;
        for (const auto& [other_key, other] : admitted_) {
            if (other_key.first == key.first && !coexist(row.admission, other.admission)) {
                broken("I3: {} of epoch {} was admitted beside {} of epoch {}", row.admission.blade, key.second,
                       other.admission.blade, other_key.second);
            }
        }
    }
    admitted_ = after.admissions;
}

void Ledger::entered(const Holding& by) {
    const auto found = admitted_.find({by.drive, by.epoch});
    if (found == admitted_.end() || found->second.admission.blade != by.blade) {
        broken("I1: a request of {} passed a gate although that epoch is not admitted", named(by));
    }
    if (closed_.contains({by.drive, by.epoch})) {
        broken("I1: a request of {} passed a gate although that epoch's was closed before", named(by));
    }
}

void Ledger::gate_closed(const Holding& whose) {
    closed_.insert({whose.drive, whose.epoch});
}

void Ledger::blade_reboots(const std::string& blade) {
    blade_forgets(blade);
    std::erase_if(put_out_, [&blade](const auto& entry) { return std::get<0>(entry) == blade; });
    obeyed_.erase(blade);
}

void Ledger::ejected_unseen(const Holding& what) {
    in_lun_.erase(what);
    ever_ejected_.try_emplace(what, 0);
}

void Ledger::store_rolled_back() {
    had_.clear();
    never_loaded_.clear();
    for (const auto& [what, boot] : boots_) {
        ever_ejected_.try_emplace(what, 0);
    }
}

void Ledger::blade_forgets(const std::string& blade) {
    for (const auto& [holding, boot] : boots_) {
        if (holding.blade == blade) {
            opener_died_.insert(holding);
        }
    }
    std::erase_if(lost_, [&blade](const Holding& holding) { return holding.blade == blade; });
    for (auto& [by, writes] : acknowledged_) {
        if (by.blade == blade) {
            forgotten_.insert(by);
        }
    }
}

void Ledger::taken_for_never_in(const Holding& what) {
    if (!opener_died_.contains(what)) {
        return;
    }
    had_.erase(what);
    if (const auto ejected = ever_ejected_.find(what); ejected != ever_ejected_.end()) {
        put_out_.erase({what.blade, what.drive, ejected->second});
    }
}

void Ledger::fenced(const Holding& whose, bool flushed) {
    if (flushed) {
        covered(whose, acknowledged_of(whose));
    }
}

void Ledger::presented(std::uint64_t lease) {
    presented_.insert(lease);
}

void Ledger::granted(const Admission& admission, std::uint64_t lease, std::uint64_t wish, bool leads) {
    ++grants_;
    if (admission.blade != "@local" && !presented_.contains(wish & 0xffffffff)) {
        broken("I6: lease {} was granted for a wish that nobody had (a host's eject was undone)", lease);
    }
    if (leads && admission.epoch <= highest_[admission.drive]) {
        broken("I4: {} was granted epoch {} of {} after epoch {} was admitted", admission.blade, admission.epoch,
               admission.drive, highest_[admission.drive]);
    }
    for (const auto& [key, row] : admitted_) {
        if (leads && key.first == admission.drive && !coexist(admission, row.admission)) {
            broken("I3: {} was granted epoch {} of {} while {}'s epoch {} was still admitted", admission.blade,
                   admission.epoch, admission.drive, row.admission.blade, key.second);
        }
    }
}

void Ledger::taken_for_fenced(const Holding& whose) const {
    const auto found = admitted_.find({whose.drive, whose.epoch});
    if (found != admitted_.end() && found->second.admission.blade == whose.blade) {
        broken("I3: {} was taken for fenced and is still admitted", named(whose));
    }
}

void Ledger::said_ejected_by_host(const Holding& whose) const {
    if (!ever_ejected_.contains(whose)) {
        broken("I9: {} was ended as ejected by its host, which had not ejected it", named(whose));
    }
}

void Ledger::said_never_loaded(const Holding& whose) {
    never_loaded_.insert(whose);
    if (had_.contains(whose)) {
        broken("I9: {} was ended as one that no host ever had, and its host has {} it", named(whose),
               in_lun_.contains(whose) ? "now" : "had");
    }
}

void Ledger::inserted(const Holding& what, std::uint64_t wish, const std::string& boot) {
    if (put_out_.contains({what.blade, what.drive, wish})) {
        broken("I6: {} was inserted again although the host had put out what was wished for", named(what));
    }
    if (never_loaded_.contains(what)) {
        broken("I9: {} was inserted after it was ended as one that no host ever had", named(what));
    }
    if (released_.contains(what)) {
        broken("I11: {} was inserted after its release was told", named(what));
    }
    const auto [entry, first] = boots_.try_emplace(what, boot);
    if (!first && entry->second != boot) {
        broken("I11: {} was inserted in two boots", named(what));
    }
    in_lun_.insert(what);
    had_.insert(what);
}

void Ledger::left_lun(const Holding& what) {
    in_lun_.erase(what);
}

void Ledger::ejected_by_host(const Holding& what, std::uint64_t wish) {
    in_lun_.erase(what);
    ever_ejected_.insert_or_assign(what, wish);
    put_out_.emplace(what.blade, what.drive, wish);
}

void Ledger::released(const Holding& what, protocol::Outcome outcome) {
    if (outcome == protocol::Outcome::drained) {
        if (lost_.contains(what)) {
            broken("I10: {} was told as drained although a power cut has taken writes of it", named(what));
        }
        for (const auto& [block, write] : acknowledged_of(what)) {
            if (media_[what.drive].blocks.at(block).stable < write) {
                broken("I10: {} was told as drained and its write {} to block {} is not on the drive", named(what),
                       write, block);
            }
        }
        drained_.insert(what);
    }
    released_.insert(what);
}

void Ledger::obeyed(const std::string& listener, Term term, std::uint64_t version) {
    auto& [highest, latest] = obeyed_[listener];
    if (term < highest || (term == highest && version < latest)) {
        broken("I8: {} obeyed term {} version {} after term {} version {}", listener, term, version, highest, latest);
    }
    highest = term;
    latest = version;
}

}  // namespace drivebay::sim
