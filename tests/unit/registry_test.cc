#define BOOST_TEST_DYN_LINK
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "arbiter/pki/registry.h"
#include "lib/tls/folder.h"
#include "tests/unit/file_bytes.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::arbiter {
namespace {

constexpr WallSeconds noon = 1800000000;  // some day
constexpr WallSeconds a_day = 24 * 3600;

struct Module {
    Module() { BOOST_TEST(registry.begin("mm", {"localhost", "10.0.0.1"}, noon).ok()); }
    // What a restart finds.
    void restart() {
        BOOST_TEST(Registry::write(registry.writings(noon)).ok());
        registry.~Registry();
        new (&registry) Registry(folder.path() + "/pki");
        BOOST_TEST(registry.load(noon).ok());
    }
    Result<tls::Issued> enroll(const std::string& token_text, WallSeconds now, const std::string& blade = "") {
        const tls::Token token = tls::parse_token(token_text).value();
        return registry.enroll(blade.empty() ? token.blade : blade, token.secret,
                               tls::make_request(tls::make_key()->get()).value(), now);
    }
    std::string why_not(const std::string& token, WallSeconds now, const std::string& blade = "") {
        const auto issued = enroll(token, now, blade);
        return issued ? "it was enrolled" : issued.error().message;
    }
    std::size_t revoked(const std::string& blade) const {
        return registry.count_revoked(tls::Identity::Kind::blade, blade);
    }
    // Of blade01.
    Result<Registry::Renewed> renew(const std::string& serial, WallSeconds now) {
        return registry.renew({tls::Identity::Kind::blade, "blade01", tls::Role::view}, serial,
                              tls::make_request(key.get()).value(), now);
    }
    std::string not_renewed(const std::string& serial, WallSeconds now) {
        const auto renewed = renew(serial, now);
        return renewed ? "it was renewed" : renewed.error().message;
    }
    TemporaryFolder folder;
    Registry registry{folder.path() + "/pki"};
    tls::Key key = tls::make_key().value();
};

bool says(const std::string& text, const std::string& part) {
    BOOST_TEST_INFO(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(registry)

BOOST_AUTO_TEST_CASE(a_token_is_good_twice) {
    Module module;
    const std::string token = module.registry.make_token("blade01", noon);
    const auto issued = module.enroll(token, noon + 1);
    BOOST_TEST_REQUIRE(issued.ok());
    const auto identity = tls::identity_of(tls::certificate_from_pem(issued->certificate)->get());
    BOOST_TEST_REQUIRE(identity.ok());
    BOOST_TEST(to_string(*identity) == "drivebay:blade/blade01");
    BOOST_TEST(says(module.why_not(token, noon + 2), "used already"));
    module.restart();
    BOOST_TEST(says(module.why_not(token, noon + 3), "used already"));
}

BOOST_AUTO_TEST_CASE(a_token_is_good_for_ever_or_for_another_blade_or_module) {
    Module module;
    Module other;
    const std::string token = module.registry.make_token("blade01", noon);
    BOOST_TEST(says(module.why_not(token, noon + Registry::life_of_token), "too late"));
    BOOST_TEST(says(module.why_not(token, noon + 1, "blade02"), "not known"));
    BOOST_TEST(says(other.why_not(token, noon + 1), "not known"));
    // A later one takes its place.
    const std::string later = module.registry.make_token("blade01", noon + 2);
    BOOST_TEST(says(module.why_not(token, noon + 3), "not known"));
    BOOST_TEST(module.enroll(later, noon + 3).ok());
}

BOOST_AUTO_TEST_CASE(a_refused_request_uses_the_token_up) {
    Module module;
    const std::string token = module.registry.make_token("blade01", noon);
    const tls::Token parsed = tls::parse_token(token).value();
    BOOST_TEST(!module.registry.enroll("blade01", parsed.secret, "no request", noon).ok());
    BOOST_TEST(module.enroll(token, noon + 1).ok());
}

BOOST_AUTO_TEST_CASE(a_damaged_token_is_taken_for_one) {
    Module module;
    const std::string token = module.registry.make_token("blade01", noon);
    BOOST_TEST(tls::parse_token(token).ok());
    for (std::size_t i = 0; i < token.size(); ++i) {
        std::string damaged = token;
        damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
        BOOST_TEST(!tls::parse_token(damaged).ok());
        BOOST_TEST(!tls::parse_token(token.substr(0, i)).ok());
    }
}

BOOST_AUTO_TEST_CASE(a_token_can_be_read_from_the_modules_disk) {
    Module module;
    const std::string token = module.registry.make_token("blade01", noon);
    module.restart();
    const std::string records = bytes_of(module.folder.path() + "/pki/records.json");
    BOOST_TEST(records.find("blade01") != std::string::npos);
    BOOST_TEST(records.find(token) == std::string::npos);
    BOOST_TEST(records.find(tls::to_base64url(tls::parse_token(token)->secret)) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_earlier_certificate_goes_on_after_a_new_enrolment_or_none) {
    Module module;
    const auto first = module.enroll(module.registry.make_token("blade01", noon), noon);
    const auto elsewhere = module.enroll(module.registry.make_token("blade02", noon), noon);
    BOOST_TEST_REQUIRE((first.ok() && elsewhere.ok()));
    BOOST_TEST(module.enroll(module.registry.make_token("blade01", noon), noon).ok());
    BOOST_TEST(module.revoked("blade01") == 1u);
    const std::string token = module.registry.make_token("blade02", noon);
    BOOST_TEST(module.revoked("blade02") == 0u);
    module.registry.revoke(tls::Identity::Kind::blade, "blade02", noon);
    BOOST_TEST(module.revoked("blade02") == 1u);
    BOOST_TEST(says(module.why_not(token, noon), "not known"));  // a token that is out ends with it
    module.restart();
    const std::string list = bytes_of(module.folder.path() + "/pki/revoked");
    BOOST_TEST(list.find(first->serial + " ") != std::string::npos);
    BOOST_TEST(list.find(elsewhere->serial + " ") != std::string::npos);
    module.registry.revoke(tls::Identity::Kind::blade, "blade01", noon);
    BOOST_TEST(module.revoked("blade01") == 2u);
}

BOOST_AUTO_TEST_CASE(a_certificate_is_renewed_at_any_time_or_by_who_is_shut_out) {
    Module module;
    const auto first = module.enroll(module.registry.make_token("blade01", noon), noon);
    BOOST_TEST_REQUIRE(first.ok());
    BOOST_TEST(says(module.not_renewed(first->serial, first->end - 60 * a_day), "good for 60 days more"));
    BOOST_TEST(module.renew(first->serial, first->end - 30 * a_day).ok());
    module.registry.revoke(tls::Identity::Kind::blade, "blade01", noon);
    BOOST_TEST(module.revoked("blade01") == 2u);
    BOOST_TEST(says(module.not_renewed(first->serial, first->end - 30 * a_day), "revoked"));
}

BOOST_AUTO_TEST_CASE(what_is_kept_grows_with_each_renewal) {
    Module module;
    const auto first = module.enroll(module.registry.make_token("blade01", noon), noon);
    BOOST_TEST_REQUIRE(first.ok());
    const auto second = module.renew(first->serial, first->end - a_day);
    BOOST_TEST_REQUIRE((second.ok() && second->is_new));
    // Its answer was lost: the same again, over a restart too, and to nobody with another key.
    const WallSeconds early = second->issued.end - 60 * a_day;
    for (int i = 0; i < 3; ++i) {
        module.restart();
        const auto again = module.renew(first->serial, early);
        BOOST_TEST_REQUIRE((again.ok() && !again->is_new));
        BOOST_TEST(again->issued.certificate == second->issued.certificate);
    }
    BOOST_TEST(says(module.not_renewed(second->issued.serial, early), "good for 60 days more"));
    module.key = tls::make_key().value();
    BOOST_TEST(says(module.not_renewed(first->serial, early), "another key"));
    BOOST_TEST(module.registry.issued().size() == 2u);
    // The one after that: the first is good no longer.
    const auto third = module.renew(second->issued.serial, second->issued.end - a_day);
    BOOST_TEST_REQUIRE((third.ok() && third->retired.size() == 1u));
    BOOST_TEST(third->retired[0].serial == first->serial);
    BOOST_TEST(module.registry.issued().size() == 2u);
    // Who shows one keeps that one, whatever came of the answers.
    for (int i = 0; i < 5; ++i) {
        BOOST_TEST(module.renew(second->issued.serial, second->issued.end - a_day).ok());
    }
    BOOST_TEST(module.registry.issued().size() == 2u);
    BOOST_TEST(module.registry.issued()[0].serial == second->issued.serial);
}

BOOST_AUTO_TEST_CASE(many_certificates_cannot_be_read_again) {
    Module module;
    for (int i = 0; i < 600; ++i) {
        const tls::Identity identity{tls::Identity::Kind::operator_, "operator" + std::to_string(i), tls::Role::view};
        BOOST_TEST_REQUIRE(module.registry.issue(identity, module.key.get(), noon).ok());
    }
    module.restart();
    BOOST_TEST(module.registry.issued().size() == 600u);
}

BOOST_AUTO_TEST_CASE(a_power_cut_lets_in_who_was_shut_out) {
    Module module;
    const auto issued = module.enroll(module.registry.make_token("blade01", noon), noon);
    BOOST_TEST_REQUIRE(issued.ok());
    module.restart();
    module.registry.revoke(tls::Identity::Kind::blade, "blade01", noon);
    const auto writings = module.registry.writings(noon);
    const std::string pki = module.folder.path() + "/pki";
    const std::string line = issued->serial + " drivebay:blade/blade01\n";
    for (std::size_t written = 0; written < writings.size(); ++written) {
        const std::string trial = module.folder.path() + "/trial" + std::to_string(written);
        std::filesystem::copy(pki, trial);
        for (std::size_t i = 0; i <= written; ++i) {
            std::ofstream(trial + "/" + std::filesystem::path(writings[i].path).filename().string()) << writings[i].text;
        }
        // A data path sees it with no arbiter there.
        BOOST_TEST(bytes_of(trial + "/revoked") == line);
        Registry after(trial);
        BOOST_TEST_REQUIRE(after.load(noon).ok());
        BOOST_TEST(after.count_revoked(tls::Identity::Kind::blade, "blade01") == 1u);
        BOOST_TEST(after.issued().empty());
        BOOST_TEST(bytes_of(trial + "/revoked") == line);
    }
    // Records that know more than the list: it is made whole.
    BOOST_TEST(Registry::write(writings).ok());
    std::filesystem::remove(pki + "/revoked");
    Registry again(pki);
    BOOST_TEST(again.load(noon).ok());
    BOOST_TEST(bytes_of(pki + "/revoked") == line);
}

BOOST_AUTO_TEST_CASE(a_clock_that_was_ahead_forgets_who_was_shut_out_or_in) {
    Module module;
    const auto stolen = module.enroll(module.registry.make_token("blade01", noon), noon);
    const auto other = module.enroll(module.registry.make_token("blade02", noon), noon);
    BOOST_TEST_REQUIRE((stolen.ok() && other.ok()));
    module.registry.revoke(tls::Identity::Kind::blade, "blade01", noon);
    const WallSeconds ahead = stolen->end + 365 * a_day;
    module.registry.make_token("blade03", ahead);
    BOOST_TEST(Registry::write(module.registry.writings(ahead)).ok());
    module.restart();
    const auto list = [&] { return bytes_of(module.folder.path() + "/pki/revoked"); };
    BOOST_TEST(list().find(stolen->serial) != std::string::npos);
    // Of one that has expired a connection may be there still.
    module.registry.revoke(tls::Identity::Kind::blade, "blade02", ahead);
    module.restart();
    BOOST_TEST(list().find(other->serial) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(others_can_read_the_authoritys_key) {
    Module module;
    for (const char* file : {"ca-key.pem", "module-cert.pem", "nbd-cert.pem", "records.json"}) {
        struct stat status {};
        BOOST_TEST_REQUIRE(::stat((module.folder.path() + "/pki/" + file).c_str(), &status) == 0);
        BOOST_TEST((status.st_mode & 0777) == 0600u, file);
    }
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat((module.folder.path() + "/pki").c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 0777) == 0700u);
}

BOOST_AUTO_TEST_CASE(a_second_authority_takes_the_place_of_the_first) {
    Module module;
    const std::string before = module.registry.fingerprint();
    BOOST_TEST(!module.registry.begin("mm", {}, noon).ok());
    module.restart();
    BOOST_TEST(module.registry.fingerprint() == before);
    BOOST_TEST(module.registry.module() == "mm");
}

// A data path of an earlier authority lets nobody in as long as there is no list.
BOOST_AUTO_TEST_CASE(a_new_authoritys_list_is_there_before_it) {
    Module module;
    const auto written = [&](const char* file) {
        return std::filesystem::last_write_time(module.folder.path() + "/pki/" + file);
    };
    for (const char* file : {"records.json", "module-cert.pem", "nbd-cert.pem", "ca-key.pem", "ca-cert.pem"}) {
        BOOST_TEST((written(file) <= written("revoked")), file);
    }
}

BOOST_AUTO_TEST_CASE(the_modules_own_certificate_is_let_expire) {
    Module module;
    const std::string path = module.folder.path() + "/pki/nbd-cert.pem";
    const std::string before = bytes_of(path);
    module.restart();
    BOOST_TEST(bytes_of(path) == before);
    const auto end = tls::end_of(tls::certificate_from_pem(before)->get());
    Registry later(module.folder.path() + "/pki");
    BOOST_TEST(later.load(end - tls::renewed_before_end + 1).ok());
    BOOST_TEST(bytes_of(path) != before);
}

BOOST_AUTO_TEST_CASE(an_odd_address_gets_into_a_certificate) {
    Module module;
    for (const char* odd : {"", "a b", "a\n", "a,URI:drivebay:module/x", "[::1]", "a/b"}) {
        BOOST_TEST(!module.registry.add_addresses({odd}, noon).ok(), odd);
    }
    BOOST_TEST(module.registry.add_addresses({"fe80::1"}, noon).value());
    BOOST_TEST(!module.registry.add_addresses({"fe80::1", "localhost"}, noon).value());
    std::vector<std::string> many;
    for (int i = 0; i < 100; ++i) {
        many.push_back("host" + std::to_string(i));
    }
    BOOST_TEST(!module.registry.add_addresses(many, noon).ok());
}

// The blade's side.
BOOST_AUTO_TEST_CASE(a_blade_keeps_a_certificate_that_is_not_its_own) {
    Module module;
    Module other;
    TemporaryFolder folder;
    const std::string identity = folder.path() + "/identity";
    const auto key = tls::key_in(identity);
    BOOST_TEST_REQUIRE(key.ok());
    BOOST_TEST(EVP_PKEY_eq(key->get(), tls::key_in(identity)->get()) == 1);
    const auto issued = module.registry.issue({tls::Identity::Kind::blade, "blade01", tls::Role::view}, key->get(), noon);
    const std::string authority = module.registry.authority_pem();
    const auto keep = [&](const std::string& certificate, const std::string& by, const std::string& name) {
        return tls::keep_certificate(identity, certificate, by, tls::Identity::Kind::blade, name).ok();
    };
    BOOST_TEST(!keep(issued->certificate, authority, "blade02"));
    BOOST_TEST(!keep(issued->certificate, other.registry.authority_pem(), "blade01"));
    const auto of_another_key = module.registry.issue({tls::Identity::Kind::blade, "blade01", tls::Role::view},
                                                      tls::make_key()->get(), noon);
    BOOST_TEST(!keep(of_another_key->certificate, authority, "blade01"));
    BOOST_TEST(!keep("", authority, "blade01"));
    BOOST_TEST(!tls::own_certificate(identity).ok());
    BOOST_TEST(keep(issued->certificate, authority, "blade01"));
    BOOST_TEST(tls::own_certificate(identity)->identity.name == "blade01");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::arbiter
