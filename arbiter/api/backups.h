// POST /v1/backup: a copy of the running arbiter's store, piece by piece on the disk's thread, between its commits. One
// copy at a time: who asks while one is being taken gets the same, which has everything that was committed before it
// was asked for.
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
    // The store must outlive the disk's thread, and that thread this object.
    Backups(Store& store, DiskThread& disk) : store_(store), disk_(disk) {}

    void take(const rpc::Reply& reply);

private:
    // What the command takes in one answer (lib/rpc/client_call.cc), less what JSON puts around it.
    static constexpr std::size_t longest_text = 63 << 20;

    // What the disk's thread works on, while one of its jobs is under way; the reactor's, while none is.
    struct Work {
        std::unique_ptr<StoreCopy> copy;
        Result<StoreCopy::Piece> piece{StoreCopy::Piece{}};
    };

    void begin();
    void run(void (*job)(Store& store, Work& work));
    void go_on(const Result<StoreCopy::Piece>& piece);
    void finish(const rpc::Response& response);

    Store& store_;
    DiskThread& disk_;
    std::shared_ptr<Work> work_;  // the one copy; its jobs keep it too, as they may outlive this object
    std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // gone with this object
    bool reading_ = false;  // bytes have come: what is committed from now on may not be in the copy
    std::string text_;      // of the answer, as far as it is known
    std::vector<rpc::Reply> asked_;
    std::vector<rpc::Reply> asked_late_;  // while bytes came: they get the next copy
};

}  // namespace drivebay::arbiter
