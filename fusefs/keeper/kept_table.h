// A table of fixed size in kept memory: records that are in use where their word is not 0.
#pragma once

#include <span>
#include <vector>

namespace drivebay {

template <class Record, auto word>
class KeptTable {
public:
    explicit KeptTable(std::span<Record> records) : records_(records) {
        for (auto record = records.rbegin(); record != records.rend(); ++record) {
            if (((*record).*word).load() == 0) {
                free_.push_back(&*record);
            }
        }
    }

    // To be filled, and then made valid by its word; nullptr: the table is full. Whatever was in it is there still.
    Record* take() {
        if (free_.empty()) {
            return nullptr;
        }
        Record* const record = free_.back();
        free_.pop_back();
        return record;
    }

    void give_back(Record& record) {
        (record.*word).store(0);
        free_.push_back(&record);
    }

    bool full() const { return free_.empty(); }
    bool half_full() const { return free_.size() <= records_.size() / 2; }

    std::vector<Record*> in_use() {
        std::vector<Record*> found;
        for (Record& record : records_) {
            if ((record.*word).load() != 0) {
                found.push_back(&record);
            }
        }
        return found;
    }

private:
    const std::span<Record> records_;
    std::vector<Record*> free_;
};

}  // namespace drivebay
