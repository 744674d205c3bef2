// The NBD protocol's numbers and wire layouts, as the NBD project's doc/proto.md has them; section names in brackets.
// Everything on the wire is big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace drivebay::nbd {

// [Newstyle negotiation]
inline constexpr std::uint64_t greeting_magic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t option_magic = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;

// [Handshake flags]
inline constexpr std::uint16_t flag_fixed_newstyle = 1 << 0;
inline constexpr std::uint16_t flag_no_zeroes = 1 << 1;
// [Client flags]
inline constexpr std::uint32_t client_fixed_newstyle = 1 << 0;
inline constexpr std::uint32_t client_no_zeroes = 1 << 1;

// [Option types]
enum class Option : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    starttls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10,
};

// [Option reply types]
enum class OptionReply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    error_unsupported = 0x80000001,
    error_policy = 0x80000002,
    error_invalid = 0x80000003,
    error_tls_required = 0x80000005,
    error_unknown = 0x80000006,
    error_shutdown = 0x80000007,
    error_too_big = 0x80000009,
};

// [Option reply types, NBD_INFO_*]
enum class Info : std::uint16_t { export_facts = 0, name = 1, description = 2, block_size = 3 };

// [Transmission flags]
inline constexpr std::uint16_t has_flags = 1 << 0;
inline constexpr std::uint16_t read_only = 1 << 1;
inline constexpr std::uint16_t send_flush = 1 << 2;
inline constexpr std::uint16_t send_fua = 1 << 3;
inline constexpr std::uint16_t rotational = 1 << 4;
inline constexpr std::uint16_t send_trim = 1 << 5;
inline constexpr std::uint16_t send_write_zeroes = 1 << 6;
inline constexpr std::uint16_t send_dont_fragment = 1 << 7;
inline constexpr std::uint16_t can_multi_conn = 1 << 8;
inline constexpr std::uint16_t send_cache = 1 << 10;

// [Transmission phase]
inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t simple_reply_magic = 0x67446698;
inline constexpr std::uint32_t structured_reply_magic = 0x668e33ef;

// [Request types]
enum class Command : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    cache = 5,
    write_zeroes = 6,
    block_status = 7,
};

// [Command flags]
inline constexpr std::uint16_t command_fua = 1 << 0;
inline constexpr std::uint16_t command_no_hole = 1 << 1;
inline constexpr std::uint16_t command_dont_fragment = 1 << 2;
inline constexpr std::uint16_t command_request_one = 1 << 3;

// [Structured reply flags], [Structured reply types]
inline constexpr std::uint16_t reply_done = 1 << 0;
inline constexpr std::uint16_t reply_offset_data = 1;
inline constexpr std::uint16_t reply_block_status = 5;
inline constexpr std::uint16_t reply_error = (1 << 15) | 1;

// [Metadata querying], [The `base:` metadata namespace]: the one context that there is, under a number of this server's
// choice.
inline constexpr std::string_view base_namespace = "base:";
inline constexpr std::string_view base_allocation = "base:allocation";
inline constexpr std::uint32_t base_allocation_id = 1;
inline constexpr std::uint32_t state_hole = 1 << 0;
inline constexpr std::uint32_t state_zero = 1 << 1;

// [Error values]
enum class WireError : std::uint32_t {
    none = 0,
    not_permitted = 1,
    io = 5,
    no_memory = 12,
    invalid = 22,
    no_space = 28,
    not_supported = 95,
    shutdown = 108,
};

// [Size constraints]: what a client may assume a server to take without having asked.
inline constexpr std::uint32_t largest_payload = 32u << 20;
// [Values]: "strings … SHOULD NOT be longer than 4096 bytes".
inline constexpr std::size_t longest_string = 4096;

inline constexpr std::size_t request_size = 28;
inline constexpr std::size_t simple_reply_size = 16;
inline constexpr std::size_t chunk_header_size = 20;

struct RequestHeader {
    std::uint32_t magic = 0;
    std::uint16_t flags = 0;
    std::uint16_t type = 0;
    std::uint64_t cookie = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
};

template <class T>
T get(const std::byte* from) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>(value << 8 | std::to_integer<T>(from[i]));
    }
    return value;
}

template <class T>
std::byte* put(std::byte* to, T value) {
    for (std::size_t i = sizeof(T); i-- > 0;) {
        *to++ = static_cast<std::byte>(value >> (8 * i) & 0xff);
    }
    return to;
}

template <class T>
void append(std::string& to, T value) {
    std::byte bytes[sizeof(T)];
    put(bytes, value);
    to.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

inline RequestHeader parse_request(const std::byte* from) {
    return {get<std::uint32_t>(from),      get<std::uint16_t>(from + 4),  get<std::uint16_t>(from + 6),
            get<std::uint64_t>(from + 8),  get<std::uint64_t>(from + 16), get<std::uint32_t>(from + 24)};
}

}  // namespace drivebay::nbd
