#include "fusefs/nbd_server/nbd_reply.h"

#include <algorithm>

namespace drivebay::nbd {

namespace {

std::byte* put_chunk(std::byte* to, std::uint16_t type, std::uint64_t cookie, std::uint32_t length) {
    to = put(to, structured_reply_magic);
    to = put(to, reply_done);
    to = put(to, type);
    to = put(to, cookie);
    return put(to, length);
}

ReplyHead& ended_at(ReplyHead& head, const std::byte* end) {
    head.size = static_cast<std::size_t>(end - head.bytes.data());
    return head;
}

ReplyHead simple_reply(std::uint64_t cookie, WireError error) {
    ReplyHead head;
    std::byte* to = put(head.bytes.data(), simple_reply_magic);
    to = put(to, static_cast<std::uint32_t>(error));
    return ended_at(head, put(to, cookie));
}

std::uint32_t state_of(const Extent& extent) {
    return (extent.hole ? state_hole : 0) | (extent.zero ? state_zero : 0);
}

}  // namespace

bool ReplyHead::operator==(const ReplyHead& other) const {
    return std::equal(bytes.begin(), bytes.begin() + size, other.bytes.begin(), other.bytes.begin() + other.size);
}

ReplyHead read_reply(bool structured, std::uint64_t cookie, std::uint64_t offset, std::uint32_t length) {
    if (!structured) {
        return simple_reply(cookie, WireError::none);
    }
    ReplyHead head;
    return ended_at(head, put(put_chunk(head.bytes.data(), reply_offset_data, cookie, 8 + length), offset));
}

ReplyHead block_status_reply(std::uint64_t cookie, std::size_t payload) {
    ReplyHead head;
    return ended_at(head,
                    put_chunk(head.bytes.data(), reply_block_status, cookie, static_cast<std::uint32_t>(payload)));
}

ReplyHead plain_reply(Command command, bool structured, std::uint64_t cookie, WireError error) {
    const bool by_chunk = structured && (command == Command::read || command == Command::block_status);
    if (!by_chunk) {
        return simple_reply(cookie, error);
    }
    ReplyHead head;
    std::byte* to = put_chunk(head.bytes.data(), reply_error, cookie, 6);
    to = put(to, static_cast<std::uint32_t>(error));
    return ended_at(head, put<std::uint16_t>(to, 0));  // no message
}

std::size_t put_block_status(std::byte* to, const std::vector<Extent>& extents, std::uint32_t length) {
    std::byte* const begin = to;
    to = put(to, base_allocation_id);
    std::uint32_t left = length;
    std::uint32_t told = 0;  // of the descriptor being made
    std::uint32_t state = 0;
    const auto end_descriptor = [&] {
        if (told > 0) {
            to = put(to, told);
            to = put(to, state);
        }
        told = 0;
    };
    for (const Extent& extent : extents) {
        // In 64 bits until it is known to fit: an extent may be longer than 4 GiB (CVE-2025-47711).
        const auto piece = static_cast<std::uint32_t>(std::min<std::uint64_t>(extent.length, left));
        if (piece > 0 && state_of(extent) != state) {
            end_descriptor();
            state = state_of(extent);
        }
        told += piece;
        left -= piece;
    }
    if (left == length) {
        told = length;
        state = 0;
    }
    end_descriptor();
    return static_cast<std::size_t>(to - begin);
}

}  // namespace drivebay::nbd
