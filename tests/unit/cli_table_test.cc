#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "cli/report.h"
#include "cli/table.h"

using namespace drivebay::cli;

BOOST_AUTO_TEST_SUITE(cli_table)

BOOST_AUTO_TEST_CASE(columns_are_not_aligned_under_each_other) {
    Table table({"DRIVE", "STATE"});
    table.add({"a", "ready"});
    table.add({"installer", "failed"});
    BOOST_TEST(table.format(false) == "DRIVE      STATE\n"
                                      "a          ready\n"
                                      "installer  failed\n");
}

BOOST_AUTO_TEST_CASE(accents_and_wide_characters_shift_the_columns_behind_them) {
    BOOST_TEST(display_width("plain") == 5u);
    BOOST_TEST(display_width("größe") == 5u);
    BOOST_TEST(display_width("映像") == 4u);
    BOOST_TEST(display_width("e\xcc\x81") == 1u);  // e and a combining acute accent
    Table table({"SOURCE", "X"});
    table.add({"映像", "1"});
    table.add({"größe", "2"});
    BOOST_TEST(table.format(false) == "SOURCE  X\n映像    1\ngröße   2\n");
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_utf8_break_the_width) {
    BOOST_TEST(display_width("\xff\xfe") == 2u);
    BOOST_TEST(display_width("\xc3") == 1u);          // cut short
    BOOST_TEST(display_width("\xc0\x80") == 2u);      // an overlong zero
    BOOST_TEST(display_width("\xed\xa0\x80") == 3u);  // a surrogate
}

BOOST_AUTO_TEST_CASE(a_name_with_an_escape_sequence_reaches_the_terminal) {
    BOOST_TEST(printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\x0a");
    BOOST_TEST(printable("\x7f\xc2\x9b" "1m") == "\\x7f\\xc2\\x9b1m");  // DEL, and CSI as one character
    BOOST_TEST(printable("größe (2)") == "größe (2)");
    BOOST_TEST(printable("\xff") == "\\xff");
}

BOOST_AUTO_TEST_CASE(an_empty_or_missing_cell_makes_the_table_ambiguous) {
    Table table({"A", "B", "C"});
    table.add({"", "x"});
    BOOST_TEST(table.format(false) == "A  B  C\n-  x  -\n");
}

BOOST_AUTO_TEST_CASE(colour_is_shown_where_it_is_not_wanted_or_counted_as_width) {
    Table table({"STATE", "X"});
    table.add({Cell("held", colour_of_state("held")), "1"});
    BOOST_TEST(table.format(false) == "STATE  X\nheld   1\n");
    BOOST_TEST(table.format(true) == "STATE  X\n\x1b[32mheld\x1b[0m   1\n");
    BOOST_CHECK(colour_of_state("error") == Colour::bad);
    BOOST_CHECK(colour_of_state("waiting") == Colour::waiting);
    BOOST_CHECK(colour_of_state("empty") == Colour::none);
}

BOOST_AUTO_TEST_CASE(sizes_are_shown_in_the_wrong_unit) {
    BOOST_TEST(human_size(0) == "0 B");
    BOOST_TEST(human_size(1023) == "1023 B");
    BOOST_TEST(human_size(1048576) == "1 MiB");
    BOOST_TEST(human_size(2359293952) == "2.2 GiB");
    BOOST_TEST(human_size(UINT64_MAX) == "16.0 EiB");
}

BOOST_AUTO_TEST_CASE(a_blade_without_slots_or_a_field_that_is_missing_is_not_listed) {
    const auto blades = nlohmann::json::parse(R"([{"name":"b1","online":false,"slots":[]},
        {"name":"b2","online":true,"udc":"configured","speed":"high-speed","slots":[{"slot":0,"kind":"disk","drive":null,"access":null,"state":"empty"},
         {"slot":1,"kind":"disk","drive":"x","access":"read","state":"error","error":"no such file"}]}])");
    BOOST_TEST(blade_table(blades).format(false) ==
               "BLADE  STATE    USB                     SLOT  KIND  DRIVE  ACCESS  MEDIUM\n"
               "b1     offline  -                       -     -     -      -       -\n"
               "b2     online   configured, high-speed  0     disk  -      -       empty\n"
               "b2     online   configured, high-speed  1     disk  x      read    error: no such file\n");
    const auto blade = nlohmann::json::parse(R"({"slots":[{"slot":2,"kind":"disk","drive":"x","access":"write","state":"loaded",
        "host_locked":true,"since":0,"served":{"read_bytes":4096,"written_bytes":0,"errors":3}}]})");
    const std::string slots = slot_table(blade).format(false);
    BOOST_TEST(slots.find("2     disk  x      write   loaded (in use by the host)") != std::string::npos, slots);
    BOOST_TEST(slots.find("4 KiB  0 B      3") != std::string::npos, slots);
}

BOOST_AUTO_TEST_CASE(a_waiting_lease_does_not_say_behind_whom) {
    const auto leases = nlohmann::json::parse(
        R"([{"id":4,"drive":"x","blade":"b2","mode":"write","epoch":0,"state":"waiting","slot":1,
             "age_ms":4200,"session_left_ms":null,"behind":[{"blade":"b1","mode":"write","epoch":3},{"blade":"b3","mode":"read","epoch":0}]},
            {"id":5,"drive":"y","blade":"@local","mode":"read","epoch":2,"state":"held","slot":-1,"age_ms":7200000,
             "session_left_ms":null,"behind":[]}])");
    BOOST_TEST(lease_table(leases).format(false) ==
               "LEASE  DRIVE  BLADE   ACCESS  EPOCH  STATE    SLOT  AGE    LEFT     BEHIND\n"
               "4      x      b2      write   -      waiting  1     4.2 s  expired  b1 (write), b3 (read)\n"
               "5      y      @local  read    2      held     -     2 h    -        -\n");
}

BOOST_AUTO_TEST_SUITE_END()
