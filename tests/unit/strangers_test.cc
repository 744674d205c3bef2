#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "lib/base/strangers.h"

namespace drivebay {

BOOST_AUTO_TEST_SUITE(strangers)

BOOST_AUTO_TEST_CASE(there_are_more_than_there_may_be) {
    Strangers strangers("callers", 3, 2);
    BOOST_TEST(!strangers.add(1, "10.0.0.1:1"));
    BOOST_TEST(!strangers.add(2, "10.0.0.1:2"));
    // Of that address the oldest, though there is room among all.
    BOOST_TEST((strangers.add(3, "10.0.0.1:3") == Strangers::Id{1}));
    BOOST_TEST(!strangers.add(4, "[fe80::1]:4"));
    // Of all the oldest.
    BOOST_TEST((strangers.add(5, "10.0.0.2:5") == Strangers::Id{2}));
    BOOST_TEST((strangers.add(6, "10.0.0.2:6") == Strangers::Id{3}));
}

BOOST_AUTO_TEST_CASE(one_who_has_proved_who_he_is_goes_for_others) {
    Strangers strangers("callers", 2, 2);
    strangers.add(1, "10.0.0.1:1");
    strangers.add(2, "10.0.0.2:2");
    strangers.remove(1);
    strangers.remove(1);
    BOOST_TEST(!strangers.add(3, "10.0.0.1:3"));
    BOOST_TEST((strangers.add(4, "10.0.0.3:4") == Strangers::Id{2}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
