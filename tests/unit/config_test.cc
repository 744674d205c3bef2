#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "lib/config/schema.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::config {
namespace {

struct Program {
    Program() {
        schema.text("state_dir", &state_dir, "Where state is kept");
        schema.integer("lease.ttl_ms", &ttl_ms, {1000, 60000}, "ms", "How long a lease lives");
        schema.boolean("tls", &tls, "Whether to encrypt");
        schema.texts("listen", &listen, "Where to listen");
        schema.choice("role", &role, {"management", "blade"}, "What this machine is");
    }
    std::vector<std::string> load(const std::string& text) {
        const std::string path = folder.path() + "/x.cfg";
        std::ofstream(path) << text;
        return schema.load(path);
    }
    TemporaryFolder folder;
    Schema schema{"example"};
    std::string state_dir = "/var/lib/x";
    std::int64_t ttl_ms = 10000;
    bool tls = true;
    std::vector<std::string> listen{"127.0.0.1:1"};
    std::string role = "management";
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(config_files, Program)

BOOST_AUTO_TEST_CASE(a_good_file_sets_what_it_names_and_leaves_the_rest) {
    BOOST_TEST(load("state_dir = \"/x\";\nlease = { ttl_ms = 2000; };\nlisten = ( \"a\", \"b\" );\n").empty());
    BOOST_TEST(state_dir == "/x");
    BOOST_TEST(ttl_ms == 2000);
    BOOST_TEST(listen.size() == 2U);
    BOOST_TEST(tls);
}

BOOST_AUTO_TEST_CASE(each_mistake_is_named_with_its_line_and_nothing_is_changed) {
    const auto mistakes = load(
        "state_dir = 5;\n"
        "lease = {\n"
        "  ttl_ms = 5;\n"
        "  tll_ms = 5;\n"
        "};\n"
        "tls = \"yes\";\n"
        "role = \"moon\";\n"
        "listen = \"a\";\n"
        "rubbish = 1;\n");
    BOOST_REQUIRE(mistakes.size() == 7U);
    const std::vector<std::pair<int, std::string>> expected{
        {1, "`state_dir` must be a text"},  {3, "must be from 1000 to 60000 (ms)"},
        {4, "did you mean `lease.ttl_ms`"}, {6, "`tls` must be true or false"},
        {7, "one of: management, blade"},   {8, "`listen` must be a list"},
        {9, "unknown key `rubbish`"}};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        BOOST_TEST(mistakes[i].find("x.cfg:" + std::to_string(expected[i].first) + ":") != std::string::npos, mistakes[i]);
        BOOST_TEST(mistakes[i].find(expected[i].second) != std::string::npos, mistakes[i]);
    }
    BOOST_TEST(state_dir == "/var/lib/x");
    BOOST_TEST(ttl_ms == 10000);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_libconfig_is_named_with_its_line) {
    const auto mistakes = load("tls = true;\nstate_dir = ;\n");
    BOOST_REQUIRE(mistakes.size() == 1U);
    BOOST_TEST(mistakes[0].find("x.cfg:2:") != std::string::npos, mistakes[0]);
}

BOOST_AUTO_TEST_CASE(a_dump_that_cannot_be_read_back_would_lie_about_what_is_in_force) {
    BOOST_TEST(load("lease = { ttl_ms = 3000; };\nstate_dir = \"a\\\"b\";\n").empty());
    const std::string dump = schema.dump();
    ttl_ms = 0;
    state_dir.clear();
    BOOST_TEST(load(dump).empty());
    BOOST_TEST(ttl_ms == 3000);
    BOOST_TEST(state_dir == "a\"b");
}

BOOST_AUTO_TEST_CASE(a_drop_in_is_not_heard_or_goes_before_a_later_one) {
    std::filesystem::create_directory(folder.path() + "/conf.d");
    const std::string path = folder.path() + "/x.cfg";
    std::ofstream(path) << "state_dir = \"/main\";\nlease = { ttl_ms = 2000; };\n";
    std::ofstream(folder.path() + "/conf.d/x-2.cfg") << "state_dir = \"/second\";\n";
    std::ofstream(folder.path() + "/conf.d/x-1.cfg") << "state_dir = \"/first\";\ntls = false;\n";
    std::ofstream(folder.path() + "/conf.d/y-1.cfg") << "nonsense = 1;\n";
    std::ofstream(folder.path() + "/conf.d/x-3.cfg.dpkg-old") << "nonsense = 1;\n";
    BOOST_TEST(schema.load_all(path).empty());
    BOOST_TEST(state_dir == "/second");
    BOOST_TEST(!tls);
    BOOST_TEST(ttl_ms == 2000);

    std::ofstream(folder.path() + "/conf.d/x-3.cfg") << "\nttl = 5;\n";
    std::ofstream(folder.path() + "/conf.d/x-1.cfg") << "state_dir = \"/changed\";\n";
    const auto mistakes = schema.load_all(path);
    BOOST_REQUIRE(mistakes.size() == 1U);
    BOOST_TEST(mistakes[0].find("conf.d/x-3.cfg:2: unknown key `ttl`") != std::string::npos, mistakes[0]);
    BOOST_TEST(state_dir == "/second");
}

BOOST_AUTO_TEST_CASE(a_reload_with_a_mistake_changes_what_is_in_force) {
    BOOST_TEST(load("lease = { ttl_ms = 2000; };\ntls = false;\n").empty());
    const std::string path = folder.path() + "/x.cfg";
    std::ofstream(path) << "lease = { ttl_ms = 3000; };\ntls = maybe;\n";
    const auto bad = schema.reload(path, {});
    BOOST_TEST(bad.mistakes.size() == 1U);
    BOOST_TEST(bad.changes.empty());
    BOOST_TEST(ttl_ms == 2000);

    std::ofstream(path) << "lease = { ttl_ms = 3000; };\n";
    const auto refused = schema.reload(path, [] { return Status(Error{1, "these do not fit together"}); });
    BOOST_REQUIRE(refused.mistakes.size() == 1U);
    BOOST_TEST(refused.mistakes[0].find("do not fit") != std::string::npos);
    BOOST_TEST(ttl_ms == 2000);
    BOOST_TEST(!tls);
}

BOOST_AUTO_TEST_CASE(a_reload_does_not_tell_what_changed_and_what_needs_a_restart) {
    schema.may_change({"lease.ttl_ms"});
    BOOST_TEST(load("lease = { ttl_ms = 2000; };\ntls = false;\nstate_dir = \"/x\";\n").empty());
    const std::string path = folder.path() + "/x.cfg";
    std::ofstream(path) << "state_dir = \"/y\";\ntls = false;\n";
    const auto reloaded = schema.reload(path, {});
    BOOST_TEST(reloaded.mistakes.empty());
    BOOST_REQUIRE(reloaded.changes.size() == 2U);
    BOOST_TEST(reloaded.changes[0].key == "state_dir");
    BOOST_TEST(reloaded.changes[0].before == "\"/x\"");
    BOOST_TEST(reloaded.changes[0].after == "\"/y\"");
    BOOST_TEST(!reloaded.changes[0].in_force);
    BOOST_TEST(state_dir == "/x");
    // No file names it any more: it is its default.
    BOOST_TEST(reloaded.changes[1].key == "lease.ttl_ms");
    BOOST_TEST(reloaded.changes[1].in_force);
    BOOST_TEST(ttl_ms == 10000);
    BOOST_TEST(schema.reload(path, {}).changes.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay::config
