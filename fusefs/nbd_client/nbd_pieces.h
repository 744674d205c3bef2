// One request cut into what a server takes: at most its payload at a time, at multiples of its block size, with
// commands it knows. A part of a block is written by reading the block, changing it and writing it back, which is safe
// because UnansweredRequests lets no overlapping write run beside it. No input or output in here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "fusefs/engine/drive.h"
#include "fusefs/nbd_client/nbd_negotiation.h"

namespace drivebay {

// One command on the wire. `data` and `extents` stay valid until answered() or the end of the NbdPieces.
struct NbdPiece {
    IoOperation command = IoOperation::read;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::byte* data = nullptr;
    bool fua = false;
    bool may_trim = true;
    // block_status: what the server tells from `offset` on is put here, as far as it fits; it may tell more than was asked.
    ExtentList* extents = nullptr;
};

class NbdPieces {
public:
    // Both must outlive it; `server` may change between restart()s.
    NbdPieces(IoRequest& request, const NbdExport& server) : request_(&request), server_(&server) {}

    // What to send now; nothing: the request is complete. Changes nothing until answered().
    std::optional<NbdPiece> next();
    // The piece that next() named was answered without an error.
    void answered();
    // Everything is to be sent again, on another connection.
    void restart();

    IoRequest& request() const { return *request_; }

private:
    enum class Bounce { none, read, write };  // what is done next with the block at pos_ that is not covered whole

    std::uint64_t position() const { return request_->offset + done_; }
    std::uint32_t partial_length() const;  // of the request, within the block at position(); 0: no part of a block
    std::optional<NbdPiece> next_data();
    std::optional<NbdPiece> next_zeroes();
    std::optional<NbdPiece> next_trim() const;
    std::optional<NbdPiece> next_cache() const;
    std::optional<NbdPiece> next_block_status();
    void take_extents();
    std::optional<NbdPiece> next_flush() const;
    NbdPiece next_bounce();

    IoRequest* request_;
    const NbdExport* server_;
    std::uint32_t done_ = 0;
    std::uint32_t current_ = 0;  // how much of the request the piece out now covers
    bool flushed_ = false;
    ExtentList extents_;  // of the piece out now
    Bounce bounce_state_ = Bounce::none;
    std::unique_ptr<std::byte[]> bounce_;  // one block, or zeroes for a server without WRITE_ZEROES
};

}  // namespace drivebay
