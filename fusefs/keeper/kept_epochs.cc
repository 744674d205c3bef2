#include "fusefs/keeper/kept_epochs.h"

#include <algorithm>
#include <cstring>

namespace drivebay {

KeptEpoch* KeptEpochs::find(std::string_view drive, Epoch epoch) {
    for (KeptEpoch* const record : records_.in_use()) {
        if (record->epoch == epoch && name_of(record->drive) == drive) {
            return record;
        }
    }
    return nullptr;
}

KeptEpoch* KeptEpochs::of(std::string_view drive, Epoch epoch) {
    if (KeptEpoch* const known = find(drive, epoch)) {
        if (known->state.load() == KeptEpoch::drained) {
            known->state.store(KeptEpoch::open);
        }
        return known;
    }
    if (records_.full()) {
        KeptEpoch* oldest = nullptr;
        for (KeptEpoch* const record : records_.in_use()) {
            if (record->state.load() != KeptEpoch::open && (oldest == nullptr || record->sequence < oldest->sequence)) {
                oldest = record;
            }
        }
        if (oldest != nullptr) {
            records_.give_back(*oldest);
        }
    }
    KeptEpoch* const record = records_.take();
    if (record != nullptr) {
        record->unflushed.store(0);
        record->write_error.store(0);
        record->refused.store(0);
        record->epoch = epoch;
        record->sequence = ++layout_.header.last_epoch_sequence;
        set_name(record->drive, drive);
        record->state.store(KeptEpoch::open);
    }
    return record;
}

std::uint64_t KeptEpochs::next_instance(std::uint64_t at_least) {
    std::uint64_t& last = layout_.header.last_instance;
    last = std::max(last + 1, at_least);
    return last;
}

std::string_view KeptEpochs::unflushed_with(const KeptEpoch& record) {
    return record.unflushed.load() != 0 ? std::string_view(record.boot_id) : std::string_view();
}

// Before the write is sent. Who dies while one id replaces another leaves neither, and its successor takes for lost what
// perhaps is not.
void KeptEpochs::note_unflushed(KeptEpoch& record, std::string_view boot_id) {
    if (boot_id.empty()) {
        return record.unflushed.store(0);
    }
    const std::size_t length = std::min(boot_id.size(), sizeof record.boot_id - 1);
    std::memcpy(record.boot_id, boot_id.data(), length);
    record.boot_id[length] = 0;
    record.unflushed.store(1);
}

void KeptEpochs::note_over(KeptEpoch& record, bool lost) {
    record.state.store(lost ? KeptEpoch::lost : KeptEpoch::drained);
}

}  // namespace drivebay
