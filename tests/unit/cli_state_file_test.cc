#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include <fstream>

#include "cli/state_file.h"
#include "tests/unit/temporary_folder.h"

using namespace drivebay;
using namespace drivebay::cli;
using nlohmann::json;

namespace {

struct File : TemporaryFolder {
    std::string with(const std::string& text) const {
        const std::string path = this->path() + "/state.cfg";
        std::ofstream(path) << text;
        return path;
    }
    std::string mistake_in(const std::string& text) const {
        const Result<json> state = read_state(with(text));
        return state ? "" : state.error().message;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(cli_state_file, File)

BOOST_AUTO_TEST_CASE(what_is_written_is_not_what_is_read_back) {
    const json status = {
        {"drives",
         {{{"name", "install"}, {"source", "/srv/a \"quoted\" \\ name (1).iso"}, {"kind", "cdrom"}, {"read_only", false}, {"size", 7}},
          {{"name", "grün"}, {"source", "nbd://depot/x"}, {"kind", "disk"}, {"read_only", true}, {"epoch", 12}}}},
        {"blades", {{{"name", "blade01"}, {"online", true}}, {{"name", "blade02"}}}},
        {"presentations", {{{"drive", "install"}, {"blade", "blade02"}, {"access", "write"}, {"slot", 3}}}},
        {"leases", json::array()}};
    const json state = operators_state(status);
    BOOST_TEST(state["drives"].size() == 2u);
    BOOST_TEST(!state["drives"][0].contains("size"));
    const Result<std::string> text = state_text(state);
    BOOST_REQUIRE(text.ok());
    const Result<json> read = read_state(with(*text));
    BOOST_REQUIRE(read.ok());
    BOOST_TEST(*read == state, read->dump());
}

BOOST_AUTO_TEST_CASE(an_empty_state_cannot_be_written_or_read) {
    const json nothing = operators_state(json::object());
    const Result<json> read = read_state(with(*state_text(nothing)));
    BOOST_REQUIRE(read.ok());
    BOOST_TEST(*read == nothing);
    BOOST_TEST(*read_state(with("")) == nothing);
}

BOOST_AUTO_TEST_CASE(what_is_left_out_is_not_the_commands_default) {
    const Result<json> read = read_state(with(
        "drives = ( { name = \"a\"; source = \"/a\"; } );\npresentations = ( { drive = \"a\"; blade = \"b\"; } );\n"));
    BOOST_REQUIRE(read.ok());
    BOOST_TEST((*read)["drives"][0]["kind"] == "auto");
    BOOST_TEST((*read)["drives"][0]["read_only"] == false);
    BOOST_TEST((*read)["presentations"][0]["access"] == "read");
    BOOST_TEST((*read)["presentations"][0]["slot"].is_null());
}

BOOST_AUTO_TEST_CASE(a_mistake_is_not_named_with_its_line) {
    const std::pair<const char*, const char*> cases[] = {
        {"\ndrvies = ();", ":2: unknown key `drvies`"},
        {"drives = ( {\n sorce = \"/a\"; } );", ":2: unknown key `sorce`"},
        {"drives = (\n { name = \"a\"; } );", ":2: this entry has no `source`"},
        {"drives = ( { name = 7; source = \"/a\"; } );", ":1: `name` must be a text"},
        {"drives = \"a\";", ":1: `drives` is a list"},
        {"drives = ( \"a\" );", ":1: an entry stands in braces"},
        {"blades = ( 1 );", ":1: `blades` has names"},
        {"presentations = ( { drive = \"a\"; blade = \"b\"; slot = \"0\"; } );", ":1: `slot` must be a whole number"},
        {"blades = (", ":1: "},
    };
    for (const auto& [text, sentence] : cases) {
        BOOST_TEST(mistake_in(text).find(sentence) != std::string::npos, text << " said: " << mistake_in(text));
    }
    BOOST_TEST(read_state(path() + "/is-not-there").error().message.find("cannot be read") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
