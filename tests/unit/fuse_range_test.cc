#define BOOST_TEST_DYN_LINK
#include "fusefs/fuse_front/fuse_range.h"

#include <linux/falloc.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>

namespace drivebay {
namespace {

constexpr std::uint64_t last = UINT64_MAX >> 1;  // of an off_t
constexpr std::uint64_t first = last + 1;        // as an off_t, the lowest
constexpr std::uint64_t minus_one = UINT64_MAX;
constexpr std::uint64_t size = 1 << 20;
constexpr std::uint32_t hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr std::uint32_t zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

}  // namespace

BOOST_AUTO_TEST_SUITE(fuse_range)

BOOST_AUTO_TEST_CASE(a_range_reaches_behind_the_end) {
    BOOST_TEST((clipped_range(0, 512, size) == FuseRange{0, 512}));
    BOOST_TEST((clipped_range(0, size, size) == FuseRange{0, size}));
    BOOST_TEST((clipped_range(0, size + 1, size) == FuseRange{0, size}));
    BOOST_TEST((clipped_range(size - 1, 1, size) == FuseRange{size - 1, 1}));
    BOOST_TEST((clipped_range(size - 1, UINT64_MAX, size) == FuseRange{size - 1, 1}));
    BOOST_TEST((clipped_range(size, 1, size) == FuseRange{size, 0}));
    BOOST_TEST((clipped_range(last, UINT64_MAX, size) == FuseRange{size, 0}));
    BOOST_TEST((clipped_range(minus_one, 1, size) == FuseRange{size, 0}));
    BOOST_TEST((clipped_range(first, UINT64_MAX, size) == FuseRange{size, 0}));
    BOOST_TEST((clipped_range(first, 1, UINT64_MAX) == FuseRange{first, 1}));
    BOOST_TEST((clipped_range(7, 0, size) == FuseRange{7, 0}));
    BOOST_TEST((clipped_range(last, 1, UINT64_MAX) == FuseRange{last, 1}));
}

BOOST_AUTO_TEST_CASE(fallocate_grows_the_drive_or_zeroes_outside) {
    const auto judged = [](std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
        return judge_fallocate(mode, offset, length, size);
    };
    BOOST_TEST((judged(hole, 0, 512).range == FuseRange{0, 512}));
    BOOST_TEST(judged(hole, 0, 512).may_trim);
    BOOST_TEST(!judged(zero, 0, 512).may_trim);
    BOOST_TEST((judged(hole, size - 512, last).range == FuseRange{size - 512, 512}));
    BOOST_TEST((judged(zero, last, last).range == FuseRange{size, 0}));
    BOOST_TEST(judged(FALLOC_FL_ZERO_RANGE, size - 512, 512).error == 0);
    BOOST_TEST(judged(FALLOC_FL_ZERO_RANGE, size - 512, 513).error == EOPNOTSUPP);
    BOOST_TEST(judged(FALLOC_FL_ZERO_RANGE, last, last).error == EOPNOTSUPP);
    for (const std::uint32_t mode :
         {0u, FALLOC_FL_KEEP_SIZE + 0u, FALLOC_FL_PUNCH_HOLE + 0u, FALLOC_FL_COLLAPSE_RANGE + 0u, UINT32_MAX}) {
        BOOST_TEST(judged(mode, 0, 512).error == EOPNOTSUPP);
    }
    // Sums that do not fit.
    BOOST_TEST((judged(hole, minus_one, 512).range == FuseRange{size, 0}));
    BOOST_TEST((judged(hole, 512, minus_one).range == FuseRange{512, size - 512}));
    BOOST_TEST(judged(FALLOC_FL_ZERO_RANGE, 512, minus_one - 511).error == EOPNOTSUPP);
    BOOST_TEST(judged(FALLOC_FL_ZERO_RANGE, minus_one, 2).error == EOPNOTSUPP);
    BOOST_TEST(judged(hole, 0, 0).error == EINVAL);
}

BOOST_AUTO_TEST_CASE(a_seek_ends_in_the_wrong_extent) {
    const std::vector<Extent> extents = {{512, true, true}, {100, false, false}, {4, true, false}, {8, false, true}};
    BOOST_TEST((seek_among(extents, 1000, true) == 1512u));
    BOOST_TEST((seek_among(extents, 1000, false) == 1000u));
    // What is not known to read as zeroes is data.
    BOOST_TEST((seek_among({{100, false, false}, {4, true, false}, {8, false, true}}, 0, false) == 104u));
    BOOST_TEST(!seek_among({{512, true, true}}, 0, true).has_value());
    BOOST_TEST(!seek_among({{512, false, false}}, 0, false).has_value());
    BOOST_TEST(!seek_among({}, 0, false).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
