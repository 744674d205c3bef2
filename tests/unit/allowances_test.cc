#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <initializer_list>

#include "arbiter/api/allowances.h"

namespace drivebay::arbiter {

BOOST_AUTO_TEST_SUITE(allowances)

BOOST_AUTO_TEST_CASE(a_blade_has_what_is_not_allowed) {
    const Allowances allowances({"*/install read", "blade07/scratch write", "blade08/* read"});
    BOOST_TEST(allowances.allow("blade01", "install", Mode::read));
    BOOST_TEST(!allowances.allow("blade01", "install", Mode::write));
    BOOST_TEST(allowances.allow("blade07", "scratch", Mode::write));
    BOOST_TEST(allowances.allow("blade07", "scratch", Mode::read), "who may write may read");
    BOOST_TEST(!allowances.allow("blade01", "scratch", Mode::read));
    BOOST_TEST(allowances.allow("blade08", "scratch", Mode::read));
    BOOST_TEST(!allowances.allow("blade08", "scratch", Mode::write));
    BOOST_TEST(!allowances.allow("blade0", "scratch", Mode::read), "names are compared as a whole");
}

BOOST_AUTO_TEST_CASE(without_any_something_is_refused) {
    BOOST_TEST(Allowances().allow("blade01", "scratch", Mode::write));
}

BOOST_AUTO_TEST_CASE(what_allows_nothing_is_taken) {
    for (const char* text : {"", "blade01", "blade01/scratch", "blade01/scratch ", "blade01/scratch all", "scratch read",
                             "blade01 scratch/read", "/scratch read", "blade01/ read", "blade*/scratch read", "blade01/a b read"}) {
        BOOST_TEST(!Allowances::check(text), text);
    }
    BOOST_TEST(static_cast<bool>(Allowances::check("*/* write")));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::arbiter
