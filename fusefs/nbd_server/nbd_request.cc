#include "fusefs/nbd_server/nbd_request.h"

namespace drivebay::nbd {

namespace {

constexpr Verdict disconnect{Verdict::Action::disconnect, WireError::none, 0};

constexpr Verdict refuse(WireError error, std::uint32_t payload = 0) { return {Verdict::Action::answer, error, payload}; }

bool inside(const RequestHeader& request, const ExportFacts& facts) {
    return request.offset <= facts.size && request.length <= facts.size - request.offset;
}

}  // namespace

Verdict judge(const RequestHeader& request, const ExportFacts& facts) {
    if (request.magic != request_magic) {
        return disconnect;
    }
    const auto command = static_cast<Command>(request.type);
    const bool is_write = command == Command::write;
    const std::uint32_t payload = is_write ? request.length : 0;
    // A payload of up to 4 GiB would have to be read to find the next request: [Request types] lets a server hang up.
    if (is_write && request.length > largest_payload) {
        return disconnect;
    }
    std::uint16_t known_flags = 0;
    bool changes = false;
    switch (command) {
        case Command::disconnect: return disconnect;
        case Command::read: known_flags = command_fua | command_dont_fragment; break;
        case Command::flush: known_flags = command_fua; break;
        // Of any length: what is done for it is bounded by the drive (drive.h).
        case Command::cache: known_flags = command_fua; break;
        case Command::block_status:
            // [NBD_CMD_BLOCK_STATUS]: not without a metadata context, hence without structured replies.
            if (!facts.block_status) {
                return refuse(WireError::invalid);
            }
            known_flags = command_fua | command_request_one;
            break;
        case Command::write:
        case Command::trim:
            known_flags = command_fua;
            changes = true;
            break;
        case Command::write_zeroes:
            known_flags = command_fua | command_no_hole;
            changes = true;
            break;
        default: return refuse(WireError::invalid);
    }
    if ((request.flags & ~known_flags) != 0) {
        return refuse(WireError::invalid, payload);
    }
    if (changes && !facts.writable) {
        return refuse(WireError::not_permitted, payload);
    }
    if (command == Command::flush) {
        // [NBD_CMD_FLUSH]: offset and length are reserved and zero.
        return request.offset == 0 && request.length == 0 ? Verdict{} : refuse(WireError::invalid);
    }
    if (request.length == 0) {
        return refuse(WireError::invalid);
    }
    if (!inside(request, facts)) {
        // [Error values]: ENOSPC for writes past the end, EINVAL for everything else.
        const bool fills = is_write || command == Command::write_zeroes;
        return refuse(fills ? WireError::no_space : WireError::invalid, payload);
    }
    if (command == Command::read && request.length > largest_payload) {
        return refuse(WireError::invalid);
    }
    return {Verdict::Action::perform, WireError::none, payload};
}

}  // namespace drivebay::nbd
