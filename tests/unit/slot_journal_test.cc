#define BOOST_TEST_DYN_LINK
#include "gadgetd/slot_journal.h"
#include "tests/unit/temporary_folder.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <fstream>

using namespace drivebay;
using namespace drivebay::gadgetd;

namespace {

struct Folder {
    TemporaryFolder temporary;
    const std::string path = temporary.path();
};

}  // namespace

BOOST_AUTO_TEST_SUITE(slot_journal)

BOOST_AUTO_TEST_CASE(every_entry_comes_back_as_it_was) {
    Folder folder;
    SlotJournal journal(folder.path, "boot-1");
    using Phase = JournalEntry::Phase;
    protocol::LastMedium last{"install", 6, protocol::Outcome::lost, true};
    Medium medium{"scratch", 7, "/srv/dr\"ive bay/scratch@7"};
    for (const JournalEntry& entry :
         {JournalEntry{Phase::none, {}, false, {}}, JournalEntry{Phase::none, {}, false, last},
          JournalEntry{Phase::inserting, medium, false, last}, JournalEntry{Phase::loaded, medium, false, {}},
          JournalEntry{Phase::leaving, medium, true, last}, JournalEntry{Phase::leaving, medium, true, last, {}, "a policy", {}},
          JournalEntry{Phase::loaded, medium, false, {}, {}, "", Instant(std::chrono::hours(3))},
          JournalEntry{Phase::none, {}, false, {}, {last, {"scratch", 5, protocol::Outcome::drained, true, 9}}}}) {
        BOOST_REQUIRE(journal.save(3, entry).ok());
        Result<JournalEntry> again = journal.load(3);
        BOOST_REQUIRE(again.ok());
        BOOST_CHECK(*again == entry);
    }
    BOOST_CHECK(journal.load(2).value() == JournalEntry{});
}

BOOST_AUTO_TEST_CASE(an_entry_of_another_boot_is_nobodys) {
    Folder folder;
    JournalEntry entry{JournalEntry::Phase::loaded, {"scratch", 7, "/srv/drivebay/scratch@7"}, false, {}};
    BOOST_REQUIRE(SlotJournal(folder.path, "boot-1").save(0, entry).ok());
    BOOST_CHECK(SlotJournal(folder.path, "boot-2").load(0).value() == JournalEntry{});
}

BOOST_AUTO_TEST_CASE(a_damaged_entry_is_an_error_and_not_an_empty_slot) {
    Folder folder;
    SlotJournal journal(folder.path, "boot-1");
    for (const char* text :
         {"", "{", "[]", R"({"boot_id":"boot-1"})", R"({"boot_id":"boot-1","phase":"odd","last":null})",
          R"({"boot_id":"boot-1","phase":"loaded","last":null,"drive":7})"}) {
        std::ofstream(folder.path + "/slot-0.json") << text;
        Result<JournalEntry> entry = journal.load(0);
        BOOST_REQUIRE_MESSAGE(!entry.ok(), text);
        BOOST_CHECK_EQUAL(entry.error().code, EBADMSG);
    }
}

BOOST_AUTO_TEST_CASE(a_record_that_cannot_be_kept_is_told) {
    SlotJournal journal("/tmp/drivebay-no-such-folder", "boot-1");
    BOOST_CHECK_EQUAL(journal.save(0, {}).error().code, ENOENT);
}

BOOST_AUTO_TEST_SUITE_END()
