#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <vector>

#include "fusefs/nbd_server/nbd_request.h"

namespace drivebay::nbd {
namespace {

constexpr std::uint64_t size = std::uint64_t{1} << 30;
constexpr ExportFacts writable{size, true, false};
constexpr ExportFacts protected_export{size, false, false};
constexpr ExportFacts with_context{size, true, true};
constexpr ExportFacts protected_context{size, false, true};
constexpr std::uint32_t mib = 1u << 20;

RequestHeader request(Command command, std::uint64_t offset, std::uint32_t length, std::uint16_t flags = 0) {
    return {request_magic, flags, static_cast<std::uint16_t>(command), 7, offset, length};
}

struct Row {
    const char* what;
    RequestHeader request;
    ExportFacts facts;
    Verdict::Action action;
    WireError error = WireError::none;
    std::uint32_t payload = 0;
};

constexpr auto perform = Verdict::Action::perform;
constexpr auto answer = Verdict::Action::answer;
constexpr auto disconnect = Verdict::Action::disconnect;

const std::vector<Row> rows = {
    {"a plain read", request(Command::read, 0, 512), writable, perform},
    {"a read of one odd byte", request(Command::read, 511, 1), writable, perform},
    {"the last byte", request(Command::read, size - 1, 1), writable, perform},
    {"a read of the largest payload", request(Command::read, 0, 32 * mib), writable, perform},
    {"a read beyond the largest payload", request(Command::read, 0, 32 * mib + 1), writable, answer, WireError::invalid},
    {"a read across the end", request(Command::read, size - 1, 2), writable, answer, WireError::invalid},
    {"a read behind the end", request(Command::read, size + 1, 1), writable, answer, WireError::invalid},
    {"a read at the end", request(Command::read, size, 1), writable, answer, WireError::invalid},
    {"offset + length overflows 64 bits", request(Command::read, UINT64_MAX, 2), writable, answer, WireError::invalid},
    {"offset + length is 0 in 64 bits", request(Command::read, UINT64_MAX - 511, 512), writable, answer, WireError::invalid},
    {"a negative offset", request(Command::write, std::uint64_t{1} << 63, 512), writable, answer, WireError::no_space, 512},
    {"a read of nothing", request(Command::read, 0, 0), writable, answer, WireError::invalid},
    {"a write of nothing", request(Command::write, 0, 0), writable, answer, WireError::invalid},
    {"a write", request(Command::write, 3, 5), writable, perform, WireError::none, 5},
    {"a write with FUA", request(Command::write, 0, 512, command_fua), writable, perform, WireError::none, 512},
    {"a write across the end", request(Command::write, size - 1, 2), writable, answer, WireError::no_space, 2},
    {"a write to a read-only export", request(Command::write, 0, 512), protected_export, answer, WireError::not_permitted, 512},
    {"a write of the largest payload", request(Command::write, 0, 32 * mib), writable, perform, WireError::none, 32 * mib},
    {"a write beyond it", request(Command::write, 0, 32 * mib + 1), writable, disconnect},
    {"a write of 4 GiB to a read-only export", request(Command::write, 0, UINT32_MAX), protected_export, disconnect},
    {"a write with an unknown flag", request(Command::write, 0, 512, 1 << 5), writable, answer, WireError::invalid, 512},
    {"a write with NO_HOLE", request(Command::write, 0, 512, command_no_hole), writable, answer, WireError::invalid, 512},
    {"a read with an unknown flag", request(Command::read, 0, 512, 1 << 15), writable, answer, WireError::invalid},
    {"a read with DF", request(Command::read, 0, 512, command_dont_fragment), writable, perform},
    {"a flush", request(Command::flush, 0, 0), writable, perform},
    {"a flush of a read-only export", request(Command::flush, 0, 0), protected_export, perform},
    {"a flush with an offset", request(Command::flush, 1, 0), writable, answer, WireError::invalid},
    {"a flush with a length", request(Command::flush, 0, 512), writable, answer, WireError::invalid},
    {"a trim", request(Command::trim, 0, UINT32_MAX >> 2), writable, perform},
    {"a trim of nothing", request(Command::trim, 0, 0), writable, answer, WireError::invalid},
    {"a trim across the end", request(Command::trim, size - 512, 1024), writable, answer, WireError::invalid},
    {"a trim of a read-only export", request(Command::trim, 0, 512), protected_export, answer, WireError::not_permitted},
    {"zeroes beyond the largest payload", request(Command::write_zeroes, 0, 512 * mib), writable, perform},
    {"zeroes with NO_HOLE and FUA", request(Command::write_zeroes, 0, 512, command_no_hole | command_fua), writable, perform},
    {"zeroes with FAST_ZERO, never offered", request(Command::write_zeroes, 0, 512, 1 << 4), writable, answer, WireError::invalid},
    {"zeroes across the end", request(Command::write_zeroes, size - 1, 2), writable, answer, WireError::no_space},
    {"zeroes to a read-only export", request(Command::write_zeroes, 0, 512), protected_export, answer, WireError::not_permitted},
    {"block status without a context", request(Command::block_status, 0, 512), writable, answer, WireError::invalid},
    {"block status", request(Command::block_status, 0, 512), with_context, perform},
    {"block status through a read-only export", request(Command::block_status, 0, 512), protected_context, perform},
    {"block status of one extent", request(Command::block_status, 0, 512, command_request_one), with_context, perform},
    {"block status of all", request(Command::block_status, 0, size), with_context, perform},
    {"block status of the last byte", request(Command::block_status, size - 1, 1), with_context, perform},
    {"block status across the end", request(Command::block_status, size - 1, 2), with_context, answer, WireError::invalid},
    {"block status at the end", request(Command::block_status, size, 1), with_context, answer, WireError::invalid},
    {"block status of 4 GiB", request(Command::block_status, 0, UINT32_MAX), with_context, answer, WireError::invalid},
    {"block status overflowing", request(Command::block_status, UINT64_MAX, 2), with_context, answer, WireError::invalid},
    {"block status of nothing", request(Command::block_status, 0, 0), with_context, answer, WireError::invalid},
    {"block status with DF", request(Command::block_status, 0, 512, command_dont_fragment), with_context, answer, WireError::invalid},
    {"block status with NO_HOLE", request(Command::block_status, 0, 512, command_no_hole), with_context, answer, WireError::invalid},
    {"cache", request(Command::cache, 0, 512), writable, perform},
    {"cache of a read-only export", request(Command::cache, 0, 512), protected_export, perform},
    {"cache of all, beyond the largest payload", request(Command::cache, 0, size), writable, perform},
    {"cache across the end", request(Command::cache, size - 1, 2), writable, answer, WireError::invalid},
    {"cache of nothing", request(Command::cache, 0, 0), writable, answer, WireError::invalid},
    {"cache with REQ_ONE", request(Command::cache, 0, 512, command_request_one), writable, answer, WireError::invalid},
    {"a read with REQ_ONE", request(Command::read, 0, 512, command_request_one), with_context, answer, WireError::invalid},
    {"a read of one byte less than the largest payload", request(Command::read, 0, 32 * mib - 1), writable, perform},
    {"a read of the largest payload, unaligned", request(Command::read, 511, 32 * mib), writable, perform},
    {"a read of 4 GiB", request(Command::read, 0, UINT32_MAX), writable, answer, WireError::invalid},
    {"a write of one byte less than the largest payload", request(Command::write, 0, 32 * mib - 1), writable, perform, WireError::none, 32 * mib - 1},
    {"a write of the last byte", request(Command::write, size - 1, 1), writable, perform, WireError::none, 1},
    {"a write at the end", request(Command::write, size, 1), writable, answer, WireError::no_space, 1},
    {"a write whose end overflows", request(Command::write, UINT64_MAX, 1), writable, answer, WireError::no_space, 1},
    {"a write of the largest payload up to the end", request(Command::write, size - 32 * mib, 32 * mib), writable, perform, WireError::none, 32 * mib},
    {"a write with REQ_ONE", request(Command::write, 0, 1, command_request_one), writable, answer, WireError::invalid, 1},
    {"a flush with FUA", request(Command::flush, 0, 0, command_fua), writable, perform},
    {"a flush with DF", request(Command::flush, 0, 0, command_dont_fragment), writable, answer, WireError::invalid},
    {"a trim whose end overflows", request(Command::trim, UINT64_MAX - 1, 2), writable, answer, WireError::invalid},
    {"a trim with NO_HOLE", request(Command::trim, 0, 512, command_no_hole), writable, answer, WireError::invalid},
    {"a trim of everything", request(Command::trim, 0, size), writable, perform},
    {"zeroes of nothing", request(Command::write_zeroes, 0, 0), writable, answer, WireError::invalid},
    {"zeroes at the end", request(Command::write_zeroes, size, 512), writable, answer, WireError::no_space},
    {"zeroes whose end overflows", request(Command::write_zeroes, UINT64_MAX, UINT32_MAX), writable, answer, WireError::no_space},
    {"a resize", request(static_cast<Command>(8), 0, 512), writable, answer, WireError::invalid},
    {"the largest command", request(static_cast<Command>(0xffff), 0, 512), with_context, answer, WireError::invalid},
    {"a disconnect with flags and a length", request(Command::disconnect, 1, 1, 0xffff), writable, disconnect},
    {"an unknown command", request(static_cast<Command>(77), 0, 512), writable, answer, WireError::invalid},
    {"a disconnect", request(Command::disconnect, 0, 0), writable, disconnect},
    {"a wrong magic", {0x12345678, 0, 0, 7, 0, 512}, writable, disconnect},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_request)

BOOST_AUTO_TEST_CASE(a_request_at_a_boundary_is_judged_wrongly) {
    for (const Row& row : rows) {
        BOOST_TEST_CONTEXT(row.what) {
            const Verdict verdict = judge(row.request, row.facts);
            BOOST_TEST((verdict == Verdict{row.action, row.error, row.payload}));
        }
    }
}

// Whatever comes: what is performed lies inside, and what changes anything has a writable export.
BOOST_AUTO_TEST_CASE(a_request_outside_the_drive_is_performed) {
    const std::vector<std::uint64_t> offsets = {0, 1, 511, 512, size - 512, size - 1, size, size + 1, 1ull << 62,
                                                1ull << 63, UINT64_MAX - 512, UINT64_MAX - 1, UINT64_MAX};
    const std::vector<std::uint32_t> lengths = {0, 1, 511, 512, 513, 32 * mib - 1, 32 * mib, 32 * mib + 1, 1u << 31, UINT32_MAX};
    for (unsigned type = 0; type < 10; ++type) {
        for (unsigned flags = 0; flags < 64; ++flags) {
            for (const std::uint64_t offset : offsets) {
                for (const std::uint32_t length : lengths) {
                    for (const ExportFacts& facts : {writable, protected_export, with_context, protected_context}) {
                        const auto command = static_cast<Command>(type);
                        const Verdict verdict =
                            judge(request(command, offset, length, static_cast<std::uint16_t>(flags)), facts);
                        if (verdict.action != perform) {
                            BOOST_REQUIRE(verdict.payload <= largest_payload);
                            continue;
                        }
                        const bool changes = command == Command::write || command == Command::trim ||
                                             command == Command::write_zeroes;
                        BOOST_REQUIRE(facts.writable || !changes);
                        BOOST_REQUIRE(facts.block_status || command != Command::block_status);
                        BOOST_REQUIRE(offset <= size && length <= size - offset);
                        BOOST_REQUIRE(length > 0 || command == Command::flush);
                    }
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_header_is_read_in_the_wrong_byte_order) {
    std::byte wire[request_size];
    std::byte* end = put<std::uint32_t>(wire, request_magic);
    end = put<std::uint16_t>(end, 0x0102);
    end = put<std::uint16_t>(end, 0x0304);
    end = put<std::uint64_t>(end, 0x0102030405060708);
    end = put<std::uint64_t>(end, 0x1112131415161718);
    end = put<std::uint32_t>(end, 0x21222324);
    BOOST_TEST(end == wire + request_size);
    BOOST_TEST(static_cast<int>(wire[0]) == 0x25);
    const RequestHeader read = parse_request(wire);
    BOOST_TEST(read.flags == 0x0102);
    BOOST_TEST(read.type == 0x0304);
    BOOST_TEST(read.cookie == 0x0102030405060708u);
    BOOST_TEST(read.offset == 0x1112131415161718u);
    BOOST_TEST(read.length == 0x21222324u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
