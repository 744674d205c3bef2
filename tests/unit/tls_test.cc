#define BOOST_TEST_DYN_LINK
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <optional>

#include "lib/tls/authority.h"
#include "lib/tls/context.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::tls {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds a_day = 24h;

Identity blade(const std::string& name) { return {Identity::Kind::blade, name, Role::view}; }
Identity module() { return {Identity::Kind::module, "mm", Role::view}; }

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// An authority with a module, and the folder that both sides' files are in.
struct World {
    World() : authority(Authority::create().value()) {
        write(path("ca.pem"), authority.certificate_pem());
        write(path("revoked"), "");
        give("module", module());
    }
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    // NAME.pem and NAME.key of a new certificate.
    Issued give(const std::string& name, const Identity& identity, std::chrono::seconds life = a_day) {
        return give_signed(name, authority, identity, life);
    }
    Issued give_signed(const std::string& name, const Authority& by, const Identity& identity, std::chrono::seconds life = a_day) {
        const Key key = make_key().value();
        const Issued issued = by.issue(key.get(), identity, life).value();
        write(path(name + ".pem"), issued.certificate + by.certificate_pem());
        write(path(name + ".key"), to_pem(key.get()).value());
        return issued;
    }
    // A certificate with just these alternative names, otherwise like a blade's.
    void give_names(const std::string& name, const std::vector<std::string>& uris) {
        const Key key = make_key().value();
        Certificate certificate = certificate_from_pem(authority.issue(key.get(), blade("x"), a_day)->certificate).value();
        X509* const made = certificate.get();
        X509_EXTENSION_free(X509_delete_ext(made, X509_get_ext_by_NID(made, NID_subject_alt_name, -1)));
        const GeneralNames names(GENERAL_NAMES_new());
        for (const std::string& uri : uris) {
            GENERAL_NAME* const entry = GENERAL_NAME_new();
            ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
            ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size()));
            GENERAL_NAME_set0_value(entry, GEN_URI, text);
            sk_GENERAL_NAME_push(names.get(), entry);
        }
        if (!uris.empty()) {
            X509_add1_ext_i2d(made, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT);
        }
        const Key authority_key = key_from_pem(authority.key_pem().value()).value();
        X509_sign(made, authority_key.get(), EVP_sha256());
        write(path(name + ".pem"), to_pem(made));
        write(path(name + ".key"), to_pem(key.get()).value());
    }
    Files files(const std::string& name) const {
        return {path(name + ".pem"), path(name + ".key"), path("ca.pem"), ""};
    }
    std::unique_ptr<Context> server(Context::Clients clients = Context::Clients::must_identify) const {
        Files files_of_module = files("module");
        files_of_module.revoked = path("revoked");
        return std::move(Context::server(files_of_module, clients)).value();
    }
    std::unique_ptr<Context> client(const std::string& name) const { return std::move(Context::client(files(name))).value(); }

    TemporaryFolder folder;
    Authority authority;
};

struct Met {
    std::optional<Shown> server_saw;
    std::optional<Shown> client_saw;
    Refusal server_refused;
    Refusal client_refused;
    bool server_done = false;
    bool client_done = false;
};

// A whole handshake in memory, as far as it goes.
Met meet(const Context& server, const Context& client, int newest_version = 0) {
    SSL* const left = SSL_new(server.get());
    SSL* const right = SSL_new(client.get());
    BIO* server_end = nullptr;
    BIO* client_end = nullptr;
    BIO_new_bio_pair(&server_end, 0, &client_end, 0);
    SSL_set_bio(left, server_end, server_end);
    SSL_set_bio(right, client_end, client_end);
    SSL_set_accept_state(left);
    SSL_set_connect_state(right);
    if (newest_version != 0) {
        SSL_set_min_proto_version(right, newest_version);
        SSL_set_max_proto_version(right, newest_version);
    }
    Met met;
    for (int turn = 0; turn < 20; ++turn) {
        met.client_done = met.client_done || SSL_do_handshake(right) == 1;
        met.server_done = met.server_done || SSL_do_handshake(left) == 1;
    }
    if (met.server_done) {
        met.server_saw = shown_by(left);
    } else {
        met.server_refused = refusal_of(left);
    }
    if (met.client_done) {
        met.client_saw = shown_by(right);
    } else {
        met.client_refused = refusal_of(right);
    }
    SSL_free(left);
    SSL_free(right);
    return met;
}

std::string why_not(const World& world, const std::string& client) {
    const Met met = meet(*world.server(), *world.client(client));
    BOOST_TEST(!met.server_saw.has_value());
    return met.server_done ? "it was let in" : met.server_refused.reason;
}

bool says(const std::string& text, const std::string& part) {
    BOOST_TEST_INFO(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tls)

BOOST_AUTO_TEST_CASE(an_identity_has_a_second_spelling) {
    for (const char* good : {"drivebay:blade/blade07", "drivebay:operator/ann?role=view", "drivebay:operator/ann?role=admin",
                             "drivebay:module/mm"}) {
        const auto identity = parse_identity(good);
        BOOST_TEST_REQUIRE(identity.ok());
        BOOST_TEST(to_string(*identity) == good);
    }
    using namespace std::string_literals;
    for (const std::string& bad :
         {""s, "blade07"s, "drivebay:blade/"s, "drivebay:blade/a/b"s, "Drivebay:blade/a"s, "drivebay:blade/a "s,
          "drivebay:blade/blade07\n"s, "drivebay:blade/blade07\0x"s, "drivebay:blade/%62lade07"s, "drivebay:blade/a?role=admin"s,
          "drivebay:operator/ann"s, "drivebay:operator/ann?role=root"s, "drivebay:operator/ann?role=view&role=admin"s,
          "drivebay:operator/ann?role="s, "drivebay:host/a"s, "drivebay:blade/@local"s, "drivebay:blade/all"s}) {
        BOOST_TEST(!parse_identity(bad).ok(), bad);
    }
}

BOOST_AUTO_TEST_CASE(the_right_certificate_is_refused_or_has_another_name) {
    World world;
    const Issued issued = world.give("blade07", blade("blade07"));
    const Met met = meet(*world.server(), *world.client("blade07"));
    BOOST_TEST_REQUIRE(met.server_saw.has_value());
    BOOST_TEST((met.server_saw->identity == blade("blade07")));
    BOOST_TEST(met.server_saw->serial == issued.serial);
    BOOST_TEST_REQUIRE(met.client_saw.has_value());
    BOOST_TEST((met.client_saw->identity == module()));
}

BOOST_AUTO_TEST_CASE(a_certificate_of_a_foreign_authority_is_believed) {
    World world;
    const Authority foreign = Authority::create().value();
    world.give_signed("stranger", foreign, blade("blade07"));
    const Met met = meet(*world.server(), *world.client("stranger"));
    BOOST_TEST(!met.server_done);
    BOOST_TEST(!met.server_refused.reason.empty());
    BOOST_TEST(met.server_refused.identity == "drivebay:blade/blade07");
}

BOOST_AUTO_TEST_CASE(an_expired_certificate_is_believed) {
    World world;
    world.give("late", blade("blade07"), -1h);
    BOOST_TEST(says(why_not(world, "late"), "expired"));
}

BOOST_AUTO_TEST_CASE(a_revoked_certificate_is_believed) {
    World world;
    const Issued issued = world.give("blade07", blade("blade07"));
    const auto server = world.server();
    BOOST_TEST(meet(*server, *world.client("blade07")).server_saw.has_value());
    // The list is read again by the context that there is.
    write(world.path("revoked"), "0123 drivebay:blade/other\n" + issued.serial + " drivebay:blade/blade07\n");
    const Met met = meet(*server, *world.client("blade07"));
    BOOST_TEST(!met.server_done);
    BOOST_TEST(says(met.server_refused.reason, "revoked"));
    // No list is no reason to let anybody in.
    std::remove(world.path("revoked").c_str());
    BOOST_TEST(!meet(*server, *world.client("blade07")).server_done);
}

BOOST_AUTO_TEST_CASE(an_authority_that_is_there_no_longer_is_believed) {
    World world;
    world.give("blade07", blade("blade07"));
    const auto server = world.server();
    const auto client = world.client("blade07");
    const std::string authority = world.authority.certificate_pem();
    for (const std::string& other : {Authority::create()->certificate_pem(), std::string()}) {
        write(world.path("ca.pem"), other);
        BOOST_TEST(!meet(*server, *client).server_done);
        write(world.path("ca.pem"), authority);
        BOOST_TEST(meet(*server, *client).server_saw.has_value());
    }
    std::remove(world.path("ca.pem").c_str());
    BOOST_TEST(!meet(*server, *client).server_done);
}

BOOST_AUTO_TEST_CASE(a_certificate_with_odd_names_is_believed) {
    using namespace std::string_literals;
    World world;
    const std::vector<std::vector<std::string>> odd = {{},
                                                       {"https://blade07"},
                                                       {"drivebay:blade/a", "drivebay:blade/b"},
                                                       {"drivebay:blade/a", "https://example.org/"},
                                                       {"drivebay:blade/blade07\0x"s},
                                                       {"drivebay:blade/blade07\n"},
                                                       {"drivebay:blade/"}};
    for (const auto& names : odd) {
        world.give_names("odd", names);
        BOOST_TEST(why_not(world, "odd") != "it was let in");
    }
    world.give_names("plain", {"drivebay:blade/a"});
    BOOST_TEST(meet(*world.server(), *world.client("plain")).server_saw.has_value());
}

BOOST_AUTO_TEST_CASE(a_blade_is_taken_for_the_module_or_the_module_for_a_client) {
    World world;
    world.give("blade07", blade("blade07"));
    const auto impostor = std::move(Context::server(world.files("blade07"), Context::Clients::anybody)).value();
    const Met met = meet(*impostor, *world.client("blade07"));
    BOOST_TEST(!met.client_done);
    BOOST_TEST(why_not(world, "module") != "it was let in");
}

BOOST_AUTO_TEST_CASE(an_older_tls_is_spoken) {
    World world;
    world.give("blade07", blade("blade07"));
    const Met met = meet(*world.server(), *world.client("blade07"), TLS1_2_VERSION);
    BOOST_TEST(!met.server_done);
    BOOST_TEST(!met.client_done);
}

BOOST_AUTO_TEST_CASE(who_shows_no_certificate_is_somebody) {
    World world;
    const auto nobody = std::move(Context::enrolling(world.authority.fingerprint())).value();
    BOOST_TEST(!meet(*world.server(), *nobody).server_done);
    const Met met = meet(*world.server(Context::Clients::may_identify), *nobody);
    BOOST_TEST(met.server_done);
    BOOST_TEST(!met.server_saw.has_value());
    BOOST_TEST(met.client_saw.has_value());
}

BOOST_AUTO_TEST_CASE(a_blade_tells_its_secret_to_another_module) {
    World world;
    World other;
    const auto enrolling = std::move(Context::enrolling(world.authority.fingerprint())).value();
    const Met met = meet(*other.server(Context::Clients::may_identify), *enrolling);
    BOOST_TEST(!met.client_done);
    BOOST_TEST(says(met.client_refused.reason, "authority"));
    // Nor is one believed that sends the right authority along and was signed by another.
    write(other.path("module.pem"), [&] {
        std::ifstream file(other.path("module.pem"));
        std::string own((std::istreambuf_iterator<char>(file)), {});
        return own.substr(0, own.find("-----END CERTIFICATE-----") + 26) + world.authority.certificate_pem();
    }());
    BOOST_TEST(!meet(*other.server(Context::Clients::may_identify), *enrolling).client_done);
}

BOOST_AUTO_TEST_CASE(a_request_for_a_certificate_decides_what_is_in_it) {
    const Key key = make_key().value();
    const std::string request = make_request(key.get()).value();
    const auto public_key = key_of_request(request);
    BOOST_TEST_REQUIRE(public_key.ok());
    BOOST_TEST(EVP_PKEY_eq(public_key->get(), key.get()) == 1);
    BOOST_TEST(!key_of_request("").ok());
    BOOST_TEST(!key_of_request(std::string(20000, 'A')).ok());
    std::string damaged = request;
    damaged[damaged.size() / 2] ^= 1;
    BOOST_TEST(!key_of_request(damaged).ok());
    const Key weak(EVP_RSA_gen(1024));
    BOOST_TEST(!key_of_request(make_request(weak.get()).value()).ok());
    const Key other_curve(EVP_EC_gen("P-384"));
    BOOST_TEST(!key_of_request(make_request(other_curve.get()).value()).ok());
}

BOOST_AUTO_TEST_CASE(an_authority_is_loaded_with_anothers_key) {
    const Authority one = Authority::create().value();
    const Authority other = Authority::create().value();
    const auto again = Authority::load(one.certificate_pem(), one.key_pem().value());
    BOOST_TEST_REQUIRE(again.ok());
    BOOST_TEST(again->fingerprint() == one.fingerprint());
    BOOST_TEST(!Authority::load(one.certificate_pem(), other.key_pem().value()).ok());
    BOOST_TEST(!Authority::load("", one.key_pem().value()).ok());
}

BOOST_AUTO_TEST_CASE(base64url_loses_a_byte) {
    for (std::size_t size = 0; size < 40; ++size) {
        const std::string bytes = random_bytes(size);
        const auto again = from_base64url(to_base64url(bytes));
        BOOST_TEST_REQUIRE(again.ok());
        BOOST_TEST(*again == bytes);
    }
    BOOST_TEST(!from_base64url("ab+/").ok());
    BOOST_TEST(!from_base64url("abc\n").ok());
    BOOST_TEST(!from_base64url("a").ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::tls
