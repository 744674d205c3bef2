#define BOOST_TEST_DYN_LINK
#include "gadgetd/lun.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "gadgetd/attribute.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::gadgetd;

namespace {

struct Folder {
    TemporaryFolder temporary;
    const std::string path = temporary.path();
    Folder() { BOOST_REQUIRE(write_attribute(path + "/file", "").ok()); }
    std::string raw(const std::string& name) const {
        std::ifstream in(path + "/" + name, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lun)

BOOST_AUTO_TEST_CASE(the_inquiry_string_has_28_bytes_in_three_fields) {
    BOOST_CHECK_EQUAL(inquiry_string("x"), "drivebayx               0100");
    BOOST_CHECK_EQUAL(inquiry_string("a-name-longer-than-sixteen"), "drivebaya-name-longer-th0100");
    BOOST_CHECK_EQUAL(inquiry_string("").size(), 28);
}

BOOST_AUTO_TEST_CASE(an_insert_writes_each_attribute) {
    Folder folder;
    Lun lun(folder.path, "/srv/drivebay");
    BOOST_REQUIRE(lun.insert({0, "install", 7, true, true}).ok());
    BOOST_CHECK_EQUAL(folder.raw("cdrom"), "1\n");
    BOOST_CHECK_EQUAL(folder.raw("ro"), "1\n");
    BOOST_CHECK_EQUAL(folder.raw("inquiry_string"), "drivebayinstall         0100\n");
    BOOST_CHECK_EQUAL(folder.raw("file"), "/srv/drivebay/install@7\n");
    BOOST_CHECK_EQUAL(lun.file().value(), "/srv/drivebay/install@7");
}

BOOST_AUTO_TEST_CASE(nothing_is_inserted_over_another_medium) {
    Folder folder;
    Lun lun(folder.path, "/srv/drivebay");
    BOOST_REQUIRE(lun.insert({0, "one", 1, false, false}).ok());
    Status second = lun.insert({0, "two", 2, false, true});
    BOOST_REQUIRE(!second.ok());
    BOOST_CHECK_EQUAL(second.error().code, EBUSY);
    BOOST_CHECK_EQUAL(folder.raw("ro"), "0\n");
    BOOST_CHECK_EQUAL(lun.file().value(), "/srv/drivebay/one@1");
}

BOOST_AUTO_TEST_CASE(a_polite_eject_writes_a_newline_because_an_empty_write_does_nothing) {
    Folder folder;
    Lun lun(folder.path, "/srv/drivebay");
    BOOST_REQUIRE(lun.insert({0, "one", 1, false, false}).ok());
    BOOST_REQUIRE(lun.eject(false).ok());
    BOOST_CHECK_EQUAL(folder.raw("file"), "\n");
    BOOST_CHECK_EQUAL(lun.file().value(), "");
}

BOOST_AUTO_TEST_CASE(a_forced_eject_goes_by_its_own_attribute) {
    Folder folder;
    Lun lun(folder.path, "/srv/drivebay");
    BOOST_REQUIRE(lun.eject(true).ok());
    BOOST_CHECK_EQUAL(folder.raw("forced_eject"), "1\n");
    BOOST_CHECK_EQUAL(folder.raw("file"), "\n");
}

BOOST_AUTO_TEST_CASE(a_lun_that_is_gone_is_an_error_and_not_an_empty_slot) {
    Lun lun("/tmp/drivebay-no-such-lun", "/srv/drivebay");
    BOOST_REQUIRE(!lun.file().ok());
    BOOST_CHECK_EQUAL(lun.file().error().code, ENOENT);
}

BOOST_AUTO_TEST_SUITE_END()
