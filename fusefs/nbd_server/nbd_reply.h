// What goes back over the wire for a request, as bytes. Pure.
//
// [Simple reply message], [Structured reply chunk message]: once structured replies are negotiated, READ and
// BLOCK_STATUS have to be answered by chunks; every other command may be answered simply, and is, which is shorter.
// Each reply is one chunk, the last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fusefs/engine/drive.h"
#include "fusefs/nbd_server/nbd_protocol.h"

namespace drivebay::nbd {

struct ReplyHead {
    std::array<std::byte, chunk_header_size + 8> bytes;
    std::size_t size = 0;

    bool operator==(const ReplyHead& other) const;
};

// Before `length` bytes of data, of a READ of that length from `offset`.
ReplyHead read_reply(bool structured, std::uint64_t cookie, std::uint64_t offset, std::uint32_t length);
// Before `payload` bytes that put_block_status() made.
ReplyHead block_status_reply(std::uint64_t cookie, std::size_t payload);
// A reply without data: done, or an error.
ReplyHead plain_reply(Command command, bool structured, std::uint64_t cookie, WireError error);

// An answer to BLOCK_STATUS: the context's number and the descriptors, in at most block_status_size(extents.size())
// bytes. Clipped to the `length` that was asked for, however much the drive told; it always has a descriptor, as it
// must: of data, which may be said of anything, where the drive told nothing. Neighbours of the same state become one.
constexpr std::size_t block_status_size(std::size_t extents) {
    return 4 + 8 * (extents == 0 ? 1 : extents);
}
std::size_t put_block_status(std::byte* to, const std::vector<Extent>& extents, std::uint32_t length);

}  // namespace drivebay::nbd
