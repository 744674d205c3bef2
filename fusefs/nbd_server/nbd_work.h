// What an NBD connection keeps of a request; for NbdConnection's own files.
#pragma once

#include "fusefs/nbd_server/nbd_connection.h"
#include "fusefs/nbd_server/nbd_reply.h"

namespace drivebay::nbd {

// One request from its header to the last byte of its reply. Kept for the next one.
struct NbdConnection::Work {
    IoRequest io;
    NbdConnection* connection = nullptr;
    AlignedBuffer buffer;
    Command command = Command::read;
    std::uint64_t cookie = 0;
    std::size_t held = 0;
    ExtentList extents;  // of a BLOCK_STATUS, until it is answered
    ReplyHead reply;
    std::size_t reply_data = 0;  // bytes that follow: of the buffer, or of `io.lent`
    Work* next = nullptr;
};

}  // namespace drivebay::nbd
