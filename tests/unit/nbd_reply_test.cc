#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_server/nbd_reply.h"

#include <boost/test/unit_test.hpp>
#include <string>

namespace drivebay::nbd {
namespace {

constexpr std::uint64_t cookie = 0x0102030405060708;

std::string bytes_of(const ReplyHead& head) {
    return {reinterpret_cast<const char*>(head.bytes.data()), head.size};
}

std::string simple(std::uint32_t error) {
    std::string out;
    append<std::uint32_t>(out, 0x67446698);
    append(out, error);
    append(out, cookie);
    return out;
}

std::string chunk(std::uint16_t type, std::uint32_t length) {
    std::string out;
    append<std::uint32_t>(out, 0x668e33ef);
    append<std::uint16_t>(out, 1);  // the last
    append(out, type);
    append(out, cookie);
    append(out, length);
    return out;
}

template <class T>
std::string with(std::string text, T value) {
    append(text, value);
    return text;
}

struct Descriptor {
    std::uint32_t length = 0;
    std::uint32_t state = 0;
};

// What is put, which has to fit the room that is announced for it.
std::string put_to_text(const std::vector<Extent>& extents, std::uint32_t length) {
    std::vector<std::byte> memory(block_status_size(extents.size()) + 1, std::byte{0xaa});
    const std::size_t size = put_block_status(memory.data(), extents, length);
    BOOST_REQUIRE(size < memory.size());
    BOOST_REQUIRE((memory.back() == std::byte{0xaa}));
    return {reinterpret_cast<const char*>(memory.data()), size};
}

std::string expected(const std::vector<Descriptor>& descriptors) {
    std::string out = with<std::uint32_t>("", 1);
    for (const Descriptor& descriptor : descriptors) {
        append(out, descriptor.length);
        append(out, descriptor.state);
    }
    return out;
}

constexpr bool structured = true;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_reply)

BOOST_AUTO_TEST_CASE(a_read_is_answered_in_the_other_form) {
    BOOST_TEST(bytes_of(read_reply(!structured, cookie, 512, 1000)) == simple(0));
    BOOST_TEST(bytes_of(read_reply(structured, cookie, 512, 1000)) ==
               with<std::uint64_t>(chunk(reply_offset_data, 1008), 512));
    BOOST_TEST(bytes_of(read_reply(structured, cookie, 0, largest_payload)).size() == 28u);
}

BOOST_AUTO_TEST_CASE(an_error_of_a_read_or_a_block_status_is_simple_among_structured_replies) {
    for (const Command command : {Command::read, Command::write, Command::flush, Command::trim, Command::cache,
                                  Command::write_zeroes, Command::block_status, static_cast<Command>(77)}) {
        for (const WireError error : {WireError::not_permitted, WireError::io, WireError::shutdown}) {
            const auto code = static_cast<std::uint32_t>(error);
            const bool by_chunk = command == Command::read || command == Command::block_status;
            BOOST_TEST(bytes_of(plain_reply(command, structured, cookie, error)) ==
                       (by_chunk ? with<std::uint16_t>(with(chunk(reply_error, 6), code), 0) : simple(code)));
            BOOST_TEST(bytes_of(plain_reply(command, !structured, cookie, error)) == simple(code));
        }
    }
    BOOST_TEST(bytes_of(plain_reply(Command::write, structured, cookie, WireError::none)) == simple(0));
}

BOOST_AUTO_TEST_CASE(a_block_status_tells_another_number_of_bytes_than_follow) {
    BOOST_TEST(bytes_of(block_status_reply(cookie, 12)) == chunk(reply_block_status, 12));
    BOOST_TEST(bytes_of(block_status_reply(cookie, block_status_size(most_extents))) ==
               chunk(reply_block_status, 4 + 8 * 1024));
}

BOOST_AUTO_TEST_CASE(extents_are_told_with_another_state) {
    BOOST_TEST(put_to_text({{512, false, false}}, 512) == expected({{512, 0}}));
    BOOST_TEST(put_to_text({{512, true, true}, {1024, false, false}, {1, false, true}, {7, true, false}}, 5000) ==
               expected({{512, 3}, {1024, 0}, {1, 2}, {7, 1}}));
    BOOST_TEST(put_to_text({{512, true, true}, {512, true, true}, {512, false, false}, {1, false, false}}, 5000) ==
               expected({{1024, 3}, {513, 0}}));
}

// CVE-2025-47711, 2025-47712: extents that are longer than the request, or together longer than any number of 32 bits.
BOOST_AUTO_TEST_CASE(extents_longer_than_the_request_overflow_its_length) {
    BOOST_TEST(put_to_text({{5 * gib, true, true}}, 4096) == expected({{4096, 3}}));
    BOOST_TEST(put_to_text({{4 * gib, true, true}}, UINT32_MAX) == expected({{UINT32_MAX, 3}}));
    BOOST_TEST(put_to_text({{4 * gib + 512, true, true}}, 513) == expected({{513, 3}}));
    BOOST_TEST(put_to_text({{UINT64_MAX, false, true}, {UINT64_MAX, true, true}}, 1) == expected({{1, 2}}));
    BOOST_TEST(put_to_text({{3 * gib, true, true}, {3 * gib, false, false}, {3 * gib, true, true}}, UINT32_MAX) ==
               expected({{3u << 30, 3}, {UINT32_MAX - (3u << 30), 0}}));
    BOOST_TEST(put_to_text({{3 * gib, true, true}, {3 * gib, true, true}}, UINT32_MAX) == expected({{UINT32_MAX, 3}}));
    BOOST_TEST(put_to_text({{512, true, true}, {512, false, false}}, 512) == expected({{512, 3}}));
}

// [NBD_CMD_BLOCK_STATUS]: at least one descriptor, none of length 0.
BOOST_AUTO_TEST_CASE(an_answer_has_no_descriptor_or_an_empty_one) {
    BOOST_TEST(put_to_text({}, 512) == expected({{512, 0}}));
    BOOST_TEST(put_to_text({{0, true, true}}, 512) == expected({{512, 0}}));
    BOOST_TEST(put_to_text({{0, false, false}, {512, true, true}, {0, false, true}, {8, true, true}}, 4096) ==
               expected({{520, 3}}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
