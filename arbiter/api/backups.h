// POST /v1/backup: a copy of the running arbiter's store, piece by piece on the disk's thread, between its commits. One copy at a time: who asks
// while one is being taken gets the same, which has everything that was committed before it was asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "arbiter/disk_thread.h"
#include "arbiter/store/store.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class Backups {
public:
    // Both must outlive it.
    Backups(Store& store, DiskThread& disk) : store_(store), disk_(disk) {}

    void take(const rpc::Reply& reply);

private:
    // What the command takes in one answer (lib/rpc/client_call.cc), less what JSON puts around it.
    static constexpr std::size_t longest_text = 63 << 20;

    void begin();
    void go_on();
    void take_piece();
    void finish(const rpc::Response& response);

    Store& store_;
    DiskThread& disk_;
    bool busy_ = false;
    std::unique_ptr<StoreCopy> copy_;                // the disk thread's while a job of it is under way
    Result<StoreCopy::Piece> piece_{StoreCopy::Piece{}};  // likewise
    bool reading_ = false;  // bytes have come: what is committed from now on may not be in the copy
    std::string text_;      // of the answer, as far as it is known
    std::vector<rpc::Reply> asked_;
    std::vector<rpc::Reply> asked_late_;  // while bytes came: they get the next copy
};

}  // namespace drivebay::arbiter
