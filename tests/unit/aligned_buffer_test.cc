#define BOOST_TEST_DYN_LINK
#include "fusefs/engine/aligned_buffer.h"

#include <boost/test/unit_test.hpp>
#include <vector>

namespace drivebay {

BOOST_AUTO_TEST_SUITE(aligned_buffer)

BOOST_AUTO_TEST_CASE(pieces_of_a_size_that_nobody_asks_for_keep_others_out) {
    BufferPool pool(1 << 20);
    {
        std::vector<AlignedBuffer> small;
        for (int i = 0; i < 16; ++i) {
            small.push_back(pool.take(64 << 10));
        }
    }
    BOOST_TEST(pool.kept() == 1U << 20);
    { const AlignedBuffer large = pool.take(512 << 10); }
    BOOST_TEST(pool.kept() == 1U << 20);
    const AlignedBuffer large = pool.take(512 << 10);
    BOOST_TEST(pool.kept() == 512U << 10);
}

BOOST_AUTO_TEST_CASE(more_than_the_limit_is_kept_when_it_is_given_back_or_after_a_release) {
    BufferPool pool(128 << 10);
    {
        const AlignedBuffer too_large = pool.take(256 << 10);
        const AlignedBuffer one = pool.take(64 << 10);
        const AlignedBuffer two = pool.take(64 << 10);
        const AlignedBuffer three = pool.take(64 << 10);
    }
    BOOST_TEST(pool.kept() == 128U << 10);
    pool.release(64 << 10);
    BOOST_TEST(pool.kept() == 64U << 10);
    pool.release(0);
    BOOST_TEST(pool.kept() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
