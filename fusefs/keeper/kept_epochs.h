// What a blade knows of the epochs that it has opened for writing, in kept memory: with which server there are writes that
// no FLUSH covers, and whether some were lost. So a successor notices what its predecessor would have noticed, and says
// what that has found out. Loop thread only.
#pragma once

#include <string_view>

#include "fusefs/keeper/kept_memory.h"
#include "fusefs/keeper/kept_table.h"
#include "lib/protocol/types.h"

namespace drivebay {

class KeptEpochs {
public:
    // `layout` outlives it.
    explicit KeptEpochs(KeptLayout& layout) : layout_(layout), records_(layout.epoch) {}

    // nullptr: nothing is known of it.
    KeptEpoch* find(std::string_view drive, Epoch epoch);
    // KeptEpoch::open from here on, unless it is known that something was lost. The oldest one that is over makes room; nullptr: none is.
    KeptEpoch* of(std::string_view drive, Epoch epoch);

    // The instance of the next connection: above all before it, whatever became of the clock and of the processes that made
    // them.
    std::uint64_t next_instance(std::uint64_t at_least);

    // Of the server that writes were sent to that no FLUSH covers; empty: there are none.
    static std::string_view unflushed_with(const KeptEpoch& record);
    static void note_unflushed(KeptEpoch& record, std::string_view boot_id);
    static void note_over(KeptEpoch& record, bool lost);
    // The epoch is no more, and nothing is to be told of it.
    void forget(KeptEpoch& record) { records_.give_back(record); }

private:
    KeptLayout& layout_;
    KeptTable<KeptEpoch, &KeptEpoch::state> records_;
};

}  // namespace drivebay
