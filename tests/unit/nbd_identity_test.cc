// Who comes to the exports by TLS.
#define BOOST_TEST_DYN_LINK
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <fstream>
#include <thread>

#include "fusefs/nbd_server/nbd_listener.h"
#include "lib/base/fd.h"
#include "lib/tls/authority.h"
#include "lib/tls/folder.h"
#include "tests/unit/nbd_client_handle.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::nbd {
namespace {

using namespace std::chrono_literals;

class NothingThere final : public Catalogue {
public:
    void list_blades(std::function<void(std::vector<std::string>)> callback) override { callback({}); }
    void list(const std::string&, std::function<void(Result<std::vector<ViewInfo>>)> callback) override {
        callback(std::vector<ViewInfo>{});
    }
    void look_up(const std::string&, const DriveReference&, std::function<void(Result<ViewInfo>)> callback) override {
        callback(Error{ENOENT, "no"});
    }
    void open(const std::string&, const DriveReference&, Mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override {
        callback(Error{ENOENT, "no"});
    }
};

// A listener for blades, and one enrolled blade's folder.
struct Served {
    Served() {
        const tls::Key key = tls::make_key().value();
        const auto own = authority.issue(key.get(), {tls::Identity::Kind::module, "mm", tls::Role::view}, 24h);
        write("module.pem", tls::to_pem(key.get()).value() + own->certificate + authority.certificate_pem());
        write("ca.pem", authority.certificate_pem());
        const tls::Key blade = tls::key_in(path("blade")).value();
        issued = authority.issue(blade.get(), {tls::Identity::Kind::blade, "blade01", tls::Role::view}, 24h).value();
        BOOST_REQUIRE(tls::keep_certificate(path("blade"), issued.certificate, authority.certificate_pem(),
                                            tls::Identity::Kind::blade, "blade01").ok());
        NbdListener::Tls tls;
        tls.wants_identity = true;
        tls.denied = [this](const Denial& denial) { denied.push_back(denial); };
        tls.context = std::move(*tls::Context::server({path("module.pem"), path("module.pem"), path("ca.pem"), path("revoked")},
                                                      tls::Context::Clients::must_identify));
        listener = std::make_unique<NbdListener>(loop, buffers, catalogue, NbdListener::Limits{}, std::move(tls));
        BOOST_REQUIRE(listener->listen({"", "127.0.0.1", 14798}).ok());
        thread = std::thread([this] { loop.run(); });
    }
    ~Served() { stop(); }
    void stop() {
        if (thread.joinable()) {
            loop.post([this] { listener->stop([this] { loop.stop(); }); });
            thread.join();
        }
    }
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
    // The blade lists what it has.
    bool is_let_in() const {
        const Client client(nbd_create());
        nbd_set_tls(client.get(), LIBNBD_TLS_REQUIRE);
        nbd_set_tls_certificates(client.get(), path("blade").c_str());
        nbd_set_tls_verify_peer(client.get(), false);
        nbd_set_opt_mode(client.get(), true);
        return nbd_connect_tcp(client.get(), "127.0.0.1", "14798") == 0 &&
               nbd_opt_list(client.get(), {[](void*, const char*, const char*) { return 0; }, nullptr, nullptr}) >= 0;
    }

    TemporaryFolder folder;
    tls::Authority authority = tls::Authority::create().value();
    tls::Issued issued;
    EventLoop loop;
    BufferPool buffers;
    NothingThere catalogue;
    std::vector<Denial> denied;  // the loop's, until it has stopped
    std::unique_ptr<NbdListener> listener;
    std::thread thread;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_identity)

BOOST_AUTO_TEST_CASE(an_enrolled_blade_is_refused) {
    Served served;
    served.write("revoked", "");
    BOOST_TEST(served.is_let_in());
    served.stop();
    BOOST_TEST(served.denied.empty());
}

// The list of revoked certificates is a pipe at the first look, in the handshake, and has the certificate at the second.
BOOST_AUTO_TEST_CASE(one_that_is_revoked_during_its_handshake_is_let_in_or_nobody_hears_of_it) {
    Served served;
    const std::string list = served.path("revoked");
    served.write("next", served.issued.serial + " drivebay:blade/blade01\n");
    BOOST_REQUIRE(::mkfifo(list.c_str(), 0600) == 0);
    std::thread revokes([&] {
        // Opened as soon as the server reads it.
        const UniqueFd pipe(::open(list.c_str(), O_WRONLY | O_CLOEXEC));
        std::rename(served.path("next").c_str(), list.c_str());
    });
    BOOST_TEST(!served.is_let_in());
    revokes.join();
    served.stop();
    BOOST_REQUIRE_EQUAL(served.denied.size(), 1u);
    BOOST_TEST(served.denied[0].identity == "drivebay:blade/blade01");
    BOOST_TEST(served.denied[0].reason == "the certificate was revoked");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
