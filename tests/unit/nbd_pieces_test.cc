#define BOOST_TEST_DYN_LINK
#include "fusefs/nbd_client/nbd_pieces.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <tuple>
#include <vector>

namespace drivebay {

namespace {

// A server that does as it is told, and refuses what does not fit what it said of itself.
struct Server {
    NbdExport server;
    std::vector<std::byte> medium = std::vector<std::byte>(64 * 1024);
    std::vector<NbdPiece> seen;
    std::vector<Extent> told;  // the answer to a block status

    Server() {
        server.geometry.size = medium.size();
        server.maximum_payload = 16 * 1024;
        server.can_flush = server.can_fua = server.can_trim = server.can_zero = true;
        for (std::size_t i = 0; i < medium.size(); ++i) {
            medium[i] = static_cast<std::byte>(i * 7 + i / 256);
        }
    }

    void obey(const NbdPiece& piece) {
        seen.push_back(piece);
        BOOST_TEST(piece.offset % server.minimum_block == 0U);
        BOOST_TEST(piece.length % server.minimum_block == 0U);
        BOOST_TEST(piece.offset + piece.length <= medium.size());
        std::byte* const at = medium.data() + piece.offset;
        switch (piece.command) {
            case IoOperation::read: std::memcpy(piece.data, at, piece.length); break;
            case IoOperation::write: std::memcpy(at, piece.data, piece.length); break;
            case IoOperation::write_zeroes:
                BOOST_TEST(server.can_zero);
                std::memset(at, 0, piece.length);
                break;
            case IoOperation::trim: BOOST_TEST(server.can_trim); break;
            case IoOperation::flush: BOOST_TEST(server.can_flush); break;
            case IoOperation::cache: BOOST_TEST(server.can_cache); break;
            case IoOperation::block_status:
                BOOST_TEST(server.can_block_status);
                piece.extents->found = told;
                break;
        }
        if (piece.command == IoOperation::read || piece.command == IoOperation::write) {
            BOOST_TEST(piece.length <= server.maximum_payload);
        }
        BOOST_TEST((!piece.fua || server.can_fua));
    }

    void run(IoRequest& request) {
        NbdPieces pieces(request, server);
        while (const std::optional<NbdPiece> piece = pieces.next()) {
            obey(*piece);
            pieces.answered();
        }
    }
};

IoRequest make(IoOperation operation, std::uint64_t offset, std::vector<std::byte>& memory) {
    IoRequest request;
    request.operation = operation;
    request.offset = offset;
    request.length = static_cast<std::uint32_t>(memory.size());
    request.data = memory.data();
    return request;
}

constexpr std::pair<std::uint64_t, std::size_t> ranges[] = {
    {0, 1}, {0, 4096}, {1, 4095}, {4095, 2}, {100, 20000}, {4096, 32768}, {65535, 1}, {0, 65536}, {511, 513}};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(nbd_pieces, Server)

BOOST_AUTO_TEST_CASE(a_read_is_not_what_lies_there) {
    for (const std::uint32_t block : {1U, 512U, 4096U}) {
        server.minimum_block = block;
        for (const auto& [offset, length] : ranges) {
            std::vector<std::byte> memory(length);
            IoRequest request = make(IoOperation::read, offset, memory);
            run(request);
            BOOST_TEST(std::equal(memory.begin(), memory.end(), medium.begin() + static_cast<std::ptrdiff_t>(offset)));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_write_changes_its_neighbours_or_not_itself) {
    for (const std::uint32_t block : {1U, 512U, 4096U}) {
        server.minimum_block = block;
        for (const auto& [offset, length] : ranges) {
            std::vector<std::byte> expected = medium;
            std::vector<std::byte> memory(length, static_cast<std::byte>(length + offset));
            std::copy(memory.begin(), memory.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
            IoRequest request = make(IoOperation::write, offset, memory);
            run(request);
            BOOST_TEST((medium == expected));
        }
    }
}

BOOST_AUTO_TEST_CASE(zeroes_are_not_where_they_belong) {
    for (const bool can_zero : {true, false}) {
        server.can_zero = can_zero;
        for (const std::uint32_t block : {1U, 512U, 4096U}) {
            server.minimum_block = block;
            for (const auto& [offset, length] : ranges) {
                std::vector<std::byte> expected = medium;
                std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(offset), length, std::byte{0});
                std::vector<std::byte> memory(length);
                IoRequest request = make(IoOperation::write_zeroes, offset, memory);
                request.data = nullptr;
                run(request);
                BOOST_TEST((medium == expected));
                std::generate(medium.begin(), medium.end(), [i = 1]() mutable { return static_cast<std::byte>(++i); });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_write_is_not_durable_on_a_server_without_fua) {
    server.can_fua = false;
    std::vector<std::byte> memory(512);
    IoRequest request = make(IoOperation::write, 0, memory);
    request.fua = true;
    run(request);
    BOOST_REQUIRE(seen.size() == 2U);
    BOOST_TEST((seen.back().command == IoOperation::flush));
}

BOOST_AUTO_TEST_CASE(fua_is_forgotten_on_a_part) {
    server.minimum_block = 4096;
    std::vector<std::byte> memory(20000);
    IoRequest request = make(IoOperation::write, 100, memory);
    request.fua = true;
    run(request);
    for (const NbdPiece& piece : seen) {
        BOOST_TEST(piece.fua == (piece.command == IoOperation::write));
    }
}

BOOST_AUTO_TEST_CASE(a_trim_takes_what_was_not_named) {
    server.minimum_block = 4096;
    std::vector<std::byte> memory(8192);
    IoRequest request = make(IoOperation::trim, 100, memory);
    run(request);
    BOOST_REQUIRE(seen.size() == 1U);
    BOOST_TEST(seen[0].offset == 4096U);
    BOOST_TEST(seen[0].length == 4096U);
    seen.clear();
    server.can_trim = false;
    run(request);
    BOOST_TEST(seen.empty());
}

BOOST_AUTO_TEST_CASE(a_flush_is_asked_of_a_server_that_knows_none) {
    IoRequest request;
    request.operation = IoOperation::flush;
    run(request);
    BOOST_TEST(seen.size() == 1U);
    server.can_flush = false;
    run(request);
    BOOST_TEST(seen.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_repeated_request_leaves_out_its_beginning) {
    server.minimum_block = 4096;
    std::vector<std::byte> memory(20000, std::byte{1});
    IoRequest request = make(IoOperation::write, 100, memory);
    std::vector<std::byte> expected = medium;
    std::copy(memory.begin(), memory.end(), expected.begin() + 100);
    const std::vector<std::byte> before = medium;
    for (int answered = 0; answered < 5; ++answered) {
        medium = before;
        NbdPieces pieces(request, server);
        for (int i = 0; i < answered; ++i) {
            obey(*pieces.next());
            pieces.answered();
        }
        medium = before;  // the server that is met again has seen nothing of it
        pieces.restart();
        while (const std::optional<NbdPiece> piece = pieces.next()) {
            obey(*piece);
            pieces.answered();
        }
        BOOST_TEST((medium == expected));
    }
}

namespace {

std::vector<Extent> extents_of(Server& server, std::uint64_t offset, std::uint32_t length, std::size_t limit = most_extents) {
    ExtentList extents;
    extents.limit = limit;
    IoRequest request;
    request.operation = IoOperation::block_status;
    request.offset = offset;
    request.length = length;
    request.extents = &extents;
    server.run(request);
    return extents.found;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_server_without_block_status_is_asked_or_has_holes, Server) {
    BOOST_TEST((extents_of(*this, 100, 1000) == std::vector<Extent>{{1000, false, false}}));
    BOOST_TEST(seen.empty());
}

BOOST_FIXTURE_TEST_CASE(extents_of_whole_blocks_are_shifted_or_reach_too_far, Server) {
    server.can_block_status = true;
    server.minimum_block = 4096;
    told = {{4096, true, true}, {0, true, true}, {8192, false, false}, {1 << 20, true, true}};
    BOOST_TEST((extents_of(*this, 5000, 12000) ==
                std::vector<Extent>{{3192, true, true}, {8192, false, false}, {616, true, true}}));
    BOOST_TEST(seen.back().offset == 4096u);
    BOOST_TEST(seen.back().length == 16384u);
    BOOST_TEST((extents_of(*this, 5000, 12000, 1) == std::vector<Extent>{{3192, true, true}}));
    told = {{512, true, true}, {10000, false, true}};  // a server whose extents are no whole blocks
    BOOST_TEST((extents_of(*this, 5000, 100, 1) == std::vector<Extent>{{100, false, true}}));
    told = {{UINT64_MAX, true, true}};
    BOOST_TEST((extents_of(*this, 0, 65536) == std::vector<Extent>{{65536, true, true}}));
    told = {};  // a server that answers another context only
    BOOST_TEST((extents_of(*this, 0, 65536) == std::vector<Extent>{{65536, false, false}}));
}

// CVE-2025-47712: whole blocks around a request are longer than any length on the wire.
BOOST_FIXTURE_TEST_CASE(whole_blocks_around_4_gib_are_asked_for_as_none, Server) {
    server.can_block_status = true;
    server.minimum_block = 4096;
    ExtentList extents;
    IoRequest request;
    request.operation = IoOperation::block_status;
    request.extents = &extents;
    for (const auto& [offset, length, expected] : {std::tuple{1u, UINT32_MAX, 0xfffff000u},
                                                   {4096u, UINT32_MAX, 0xfffff000u},
                                                   {4095u, 2u, 8192u},
                                                   {4095u, UINT32_MAX - 4095, 0xfffff000u}}) {
        request.offset = offset;
        request.length = length;
        NbdPieces pieces(request, server);
        const std::optional<NbdPiece> piece = pieces.next();
        BOOST_REQUIRE(piece.has_value());
        BOOST_TEST(piece->length == expected);
    }
}

BOOST_FIXTURE_TEST_CASE(a_server_without_cache_is_asked_for_it_or_for_too_much, Server) {
    server.can_cache = true;
    IoRequest request;
    request.operation = IoOperation::cache;
    request.offset = 0;
    request.length = 65536;
    run(request);
    BOOST_REQUIRE(seen.size() == 1u);
    server.can_cache = false;
    run(request);
    BOOST_TEST(seen.size() == 1u);
    server.can_cache = true;
    request.length = 0xffff0000;
    NbdPieces pieces(request, server);
    BOOST_TEST(pieces.next()->length == 32u << 20);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
