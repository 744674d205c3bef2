#define BOOST_TEST_DYN_LINK
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <fstream>

#include "lib/store/sqlite.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::store {
BOOST_AUTO_TEST_SUITE(sqlite)

BOOST_AUTO_TEST_CASE(what_was_committed_is_there_after_reopening_and_what_failed_is_not) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.db";
    {
        Result<Database> database = Database::open(path);
        BOOST_REQUIRE(database.ok());
        BOOST_TEST(database->execute("CREATE TABLE t(a TEXT, b INTEGER) STRICT").ok());
        BOOST_TEST(database->set_schema_version(3).ok());
        BOOST_TEST(database->transaction([&] { return database->execute("INSERT INTO t VALUES('kept', 1)"); }).ok());
        const Status failed = database->transaction([&]() -> Status {
            (void)database->execute("INSERT INTO t VALUES('dropped', 2)");
            return Error{EIO, "no"};
        });
        BOOST_TEST(!failed.ok());
    }
    Result<Database> database = Database::open(path);
    BOOST_REQUIRE(database.ok());
    BOOST_TEST(*database->schema_version() == 3);
    Result<Statement> rows = database->prepare("SELECT a, b FROM t WHERE b >= ?");
    BOOST_REQUIRE(rows.ok());
    rows->bind(1, std::int64_t{0});
    BOOST_TEST(*rows->step());
    BOOST_TEST(rows->text(0) == "kept");
    BOOST_TEST(rows->number(1) == 1);
    BOOST_TEST(!*rows->step());
}

BOOST_AUTO_TEST_CASE(two_processes_on_one_store_would_both_grant) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.db";
    Result<Database> mine = Database::open(path);
    BOOST_REQUIRE(mine.ok());
    const pid_t other = ::fork();
    if (other == 0) {
        const Result<Database> theirs = Database::open(path);
        ::_exit(!theirs && theirs.error().code == EBUSY ? 0 : 1);
    }
    int status = 0;
    ::waitpid(other, &status, 0);
    BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(a_damaged_store_is_reported_and_left_as_it_is) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.db";
    const std::string rubbish(8192, 'x');
    std::ofstream(path) << rubbish;
    const Result<Database> database = Database::open(path);
    BOOST_REQUIRE(!database.ok());
    BOOST_TEST(database.error().code == EBADMSG);
    std::ifstream file(path);
    BOOST_TEST(std::string(std::istreambuf_iterator<char>(file), {}) == rubbish);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay::store
