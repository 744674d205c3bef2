// The one runner of all unit tests; each tests/unit/*_test.cc adds its own.
#define BOOST_TEST_DYN_LINK
#define BOOST_TEST_MODULE drivebay
#include <boost/test/unit_test.hpp>
