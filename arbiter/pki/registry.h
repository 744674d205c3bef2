// Who has been let in: the module's authority, what it has issued and revoked, and the tokens that are out. In memory, and in
// a folder of its own (0700) that belongs to no backup of the store: a restored store brings no used token back and makes no
// revoked certificate good.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/tls/authority.h"
#include "lib/tls/context.h"
#include "lib/tls/token.h"

namespace drivebay::arbiter {

// Seconds since the epoch of Unix: lives and deadlines are people's time.
using WallSeconds = std::int64_t;

class Registry {
public:
    explicit Registry(std::string folder) : folder_(std::move(folder)) {}

    static constexpr WallSeconds life_of_token = 15 * 60;

    struct Certified {
        std::string serial;
        std::string identity;
        WallSeconds end = 0;
        std::string certificate;  // PEM; empty once it is revoked
    };

    // What the folder holds; nothing there is no mistake. Whoever is on the list or in the records as revoked is so in both
    // afterwards: the power may have failed between the two. Looks after the module's own certificates, too.
    Status load(WallSeconds now);
    // Makes the module's own certificates anew where they are due.
    Status renew_own(WallSeconds now);
    bool is_there() const { return authority_.has_value(); }

    // A new authority, and the module's own certificates. EEXIST where there is one: then only addresses are added.
    Status begin(const std::string& module, const std::vector<std::string>& addresses, WallSeconds now);
    // Names and addresses by which the module is reached, told in its certificates. True where one was new.
    Result<bool> add_addresses(const std::vector<std::string>& addresses, WallSeconds now);

    // A word for one blade. It takes the place of an earlier one that was not used.
    std::string make_token(const std::string& blade, WallSeconds now);
    // The certificate of a blade that has a token's secret; earlier certificates of that name are revoked. EACCES: the token is not
    // good; why not names no blade, so that it is the same for all who guess.
    Result<tls::Issued> enroll(const std::string& blade, const std::string& secret, const std::string& request, WallSeconds now);
    struct Renewed {
        tls::Issued issued;
        bool is_new = false;              // else whoever asked was given it before
        std::vector<Certified> retired;  // good no longer because of it
    };
    // The next one for who shows `serial`, in that one's last third, for the same key. Who asks again (the answer was lost) gets
    // the same again: what is kept does not grow by asking. Of an identity two are good at a time.
    Result<Renewed> renew(const tls::Identity& identity, const std::string& serial, const std::string& request, WallSeconds now);
    Result<tls::Issued> issue(const tls::Identity& identity, EVP_PKEY* key, WallSeconds now);
    // All that is good and was issued to a blade (or to an operator in whatever role), and its token.
    void revoke(tls::Identity::Kind kind, const std::string& name, WallSeconds now);
    // Whether a blade has a certificate or may yet get one: it was issued and not revoked, or a token is out.
    bool is_in(const std::string& blade, WallSeconds now) const;
    // How many of theirs are on the list, whenever they got there.
    std::size_t count_revoked(tls::Identity::Kind kind, const std::string& name) const;

    std::string module() const { return module_; }
    std::string fingerprint() const { return authority_->fingerprint(); }
    std::string authority_pem() const { return authority_->certificate_pem(); }
    // Expired ones, too.
    const std::vector<Certified>& issued() const { return issued_; }
    const std::vector<std::string>& addresses() const { return addresses_; }
    // The module's end of the API.
    tls::Files files() const;

    // What is to be written now, in this order; any thread. Nothing may become visible before it is. The list first: nobody is in
    // whom the records say to be out.
    struct Writing {
        std::string path;
        std::string text;
        unsigned mode = 0600;
    };
    std::vector<Writing> writings(WallSeconds now);
    static Status write(const std::vector<Writing>& writings);

private:
    struct Token {
        std::string blade;
        std::string hash;
        WallSeconds end = 0;
        bool used = false;
    };
    std::string in(const char* file) const { return folder_ + "/" + file; }
    Status read_records();
    Status agree_with_list();
    Writing records() const;
    Writing list() const;
    Status make_own(WallSeconds now);
    bool is_revoked(const std::string& serial) const;
    const Certified* newest_of(const std::string& identity) const;
    // All but the newest of an identity, and the one that is shown or else the newest but one, are revoked.
    std::vector<Certified> retire(const std::string& identity, const std::string& shown);
    std::vector<Certified> revoke_those(const std::function<bool(const Certified&)>& are_those);
    void prune_tokens(WallSeconds now);

    const std::string folder_;
    std::optional<tls::Authority> authority_;
    std::string module_;
    std::vector<std::string> addresses_;
    std::vector<Certified> issued_;
    std::vector<Certified> revoked_;
    std::vector<Token> tokens_;
};

}  // namespace drivebay::arbiter
