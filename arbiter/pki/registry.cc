#include "arbiter/pki/registry.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "lib/base/durable_file.h"
#include "lib/base/log.h"
#include "lib/tls/folder.h"

namespace drivebay::arbiter {
namespace {

using nlohmann::json;

// A token that is over is remembered for as long as somebody may still come with it and is to hear why not.
constexpr WallSeconds remembered = 24 * 3600;
constexpr std::size_t most_addresses = 64;
// Some fifty thousand certificates: what is larger was not written here.
constexpr std::size_t largest_records = std::size_t{64} << 20;
constexpr WallSeconds a_day = 24 * 3600;

std::string hash_of(const std::string& blade, const std::string& secret) {
    return tls::to_base64url(tls::sha256(secret + blade));
}

json to_json(const Registry::Certified& one) {
    json row{{"serial", one.serial}, {"identity", one.identity}, {"end", one.end}};
    if (!one.certificate.empty()) {
        row["certificate"] = one.certificate;
    }
    return row;
}

Registry::Certified certified(const json& row) {
    return {row.at("serial"), row.at("identity"), row.at("end"), row.value("certificate", "")};
}

}  // namespace

Status Registry::load(WallSeconds now) {
    const auto certificate = tls::read_text(in("ca-cert.pem"));
    if (!certificate) {
        return certificate.error().code == ENOENT ? success() : Status(certificate.error());
    }
    const auto key = tls::read_text(in("ca-key.pem"));
    if (!key) {
        return key.error();
    }
    auto authority = tls::Authority::load(*certificate, *key);
    if (!authority) {
        return Error{EINVAL, fmt::format("{}: {}", folder_, authority.error().message)};
    }
    if (Status read = read_records(); !read) {
        return read;
    }
    authority_ = std::move(*authority);
    if (Status agreed = agree_with_list(); !agreed) {
        return agreed;
    }
    return renew_own(now);
}

Status Registry::renew_own(WallSeconds now) {
    bool due = false;
    for (const char* file : {"module-cert.pem", "nbd-cert.pem"}) {
        const auto text = tls::read_text(in(file));
        const auto own = text ? tls::certificate_from_pem(*text) : Result<tls::Certificate>(text.error());
        due = due || !own || tls::end_of(own->get()) - now < tls::renewed_before_end;
    }
    return due ? make_own(now) : success();
}

Status Registry::read_records() {
    const auto text = tls::read_text(in("records.json"), largest_records);
    if (!text) {
        return text.error();
    }
    try {
        const json records = json::parse(*text);
        module_ = records.at("module");
        addresses_ = records.at("addresses").get<std::vector<std::string>>();
        for (const json& row : records.at("issued")) {
            issued_.push_back(certified(row));
        }
        for (const json& row : records.at("revoked")) {
            revoked_.push_back(certified(row));
        }
        for (const json& row : records.at("tokens")) {
            tokens_.push_back({row.at("blade"), row.at("hash"), row.at("end"), row.at("used")});
        }
    } catch (const json::exception& damage) {
        return Error{EBADMSG, fmt::format("{} is damaged ({}): put a copy of the folder back, or remove the folder and enroll "
                                          "all blades again",
                                          in("records.json"), damage.what())};
    }
    return success();
}

Status Registry::agree_with_list() {
    const auto text = tls::read_text(in("revoked"), largest_records);
    if (!text && text.error().code != ENOENT) {
        return text.error();
    }
    std::set<std::string> listed;
    for (std::istringstream lines(text ? *text : ""); !lines.eof();) {
        std::string serial;
        std::string identity;
        lines >> serial >> identity;
        if (!serial.empty() && listed.insert(serial).second && !is_revoked(serial)) {
            if (revoke_those([&](const Certified& one) { return one.serial == serial; }).empty()) {
                revoked_.push_back({serial, identity, 0, ""});
            }
        }
    }
    const Writing whole = list();
    return text && whole.text == *text ? success() : write({whole});
}

Status Registry::begin(const std::string& module, const std::vector<std::string>& addresses, WallSeconds now) {
    if (is_there()) {
        return Error{EEXIST, "there is an authority already; blades are enrolled with: drivebay enroll BLADE"};
    }
    if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
        return system_error(errno, "cannot make the folder " + folder_);
    }
    auto authority = tls::Authority::create();
    if (!authority) {
        return authority.error();
    }
    const auto key = authority->key_pem();
    if (!key) {
        return key.error();
    }
    authority_ = std::move(*authority);
    module_ = module;
    addresses_ = addresses;
    // With its certificate the authority is there. The list after it: without one nobody is let in, not by a data path either
    // that has seen nothing yet of another authority than the last.
    Status done = write({records()});
    done = done ? make_own(now) : done;
    done = done ? write_durably(in("ca-key.pem"), *key, 0600) : done;
    done = done ? write_durably(in("ca-cert.pem"), authority_->certificate_pem(), 0644) : done;
    done = done ? write({list()}) : done;
    if (!done) {
        authority_.reset();
    }
    return done;
}

// Two certificates and keys: what the data path has says nothing that the arbiter's end is not asked for by itself.
Status Registry::make_own(WallSeconds) {
    for (const char* name : {"module", "nbd"}) {
        const auto key = tls::make_key();
        if (!key) {
            return key.error();
        }
        const auto pem = tls::to_pem(key->get());
        const auto issued = authority_->issue(key->get(), {tls::Identity::Kind::module, module_, tls::Role::view},
                                              std::chrono::seconds(tls::life_of_certificate), addresses_);
        if (!pem || !issued) {
            return pem ? issued.error() : pem.error();
        }
        // One file with both, so that they are never of two makings. The chain goes along: a blade that enrolls knows the
        // authority by its fingerprint only.
        const std::string text = *pem + issued->certificate + authority_->certificate_pem();
        if (Status written = write_durably(folder_ + "/" + name + "-cert.pem", text, 0600); !written) {
            return written;
        }
    }
    return success();
}

Result<bool> Registry::add_addresses(const std::vector<std::string>& addresses, WallSeconds now) {
    bool added = false;
    for (const std::string& address : addresses) {
        const bool fits = !address.empty() && address.size() <= 253 &&
                          std::all_of(address.begin(), address.end(), [](unsigned char c) {
                              return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':' || c == '_';
                          });
        if (!fits) {
            return Error{EINVAL, fmt::format("{} is no host name or address", log::quoted(address))};
        }
        if (std::find(addresses_.begin(), addresses_.end(), address) == addresses_.end()) {
            if (addresses_.size() >= most_addresses) {
                return Error{ENOSPC, fmt::format("a module has at most {} names and addresses", most_addresses)};
            }
            addresses_.push_back(address);
            added = true;
        }
    }
    if (added && is_there()) {
        if (Status made = make_own(now); !made) {
            return made.error();
        }
    }
    return added;
}

std::string Registry::make_token(const std::string& blade, WallSeconds now) {
    prune_tokens(now);
    std::erase_if(tokens_, [&](const Token& token) { return token.blade == blade && !token.used; });
    const tls::Token token{blade, tls::random_bytes(16), fingerprint()};
    tokens_.push_back({blade, hash_of(blade, token.secret), now + life_of_token, false});
    return to_string(token);
}

Result<tls::Issued> Registry::enroll(const std::string& blade, const std::string& secret, const std::string& request,
                                     WallSeconds now) {
    const std::string hash = hash_of(blade, secret);
    const auto token =
        std::find_if(tokens_.begin(), tokens_.end(), [&](const Token& known) { return known.hash == hash; });
    if (token == tokens_.end()) {
        return Error{EACCES, "this token is not known here: it was replaced by a later one, or is of another module"};
    }
    if (token->used) {
        return Error{EACCES, "this token was used already"};
    }
    if (now >= token->end) {
        return Error{EACCES, fmt::format("this token came too late: it was good for {} minutes", life_of_token / 60)};
    }
    const auto key = tls::key_of_request(request);
    if (!key) {
        return key.error();
    }
    // Before the new one is issued, which would be among them. It removes unused tokens of that name, this one too.
    Token used = *token;
    used.used = true;
    revoke(tls::Identity::Kind::blade, blade, now);
    tokens_.push_back(used);
    return issue({tls::Identity::Kind::blade, blade, tls::Role::view}, key->get(), now);
}

Result<Registry::Renewed> Registry::renew(const tls::Identity& identity, const std::string& serial, const std::string& request,
                                          WallSeconds now) {
    const auto key = tls::key_of_request(request);
    if (!key) {
        return key.error();
    }
    if (is_revoked(serial)) {
        return Error{EACCES, "this certificate was revoked"};
    }
    const Certified* const newest = newest_of(to_string(identity));
    // A day more: who asks goes by a clock of his own.
    if (newest != nullptr && newest->end - now >= tls::renewed_before_end + a_day) {
        if (newest->serial == serial) {
            return Error{EEXIST,
                         fmt::format("this certificate is good for {} days more, and the next one is given in its last {}",
                                     (newest->end - now) / a_day, tls::renewed_before_end / a_day)};
        }
        if (tls::is_for_key(newest->certificate, key->get())) {
            return Renewed{{newest->certificate, newest->serial, newest->end}, false, {}};
        }
        if (!newest->certificate.empty()) {
            return Error{EEXIST, "the next certificate was given already, for another key"};
        }
    }
    auto issued = issue(identity, key->get(), now);
    if (!issued) {
        return issued.error();
    }
    return Renewed{*issued, true, retire(to_string(identity), serial)};
}

bool Registry::is_revoked(const std::string& serial) const {
    return std::any_of(revoked_.begin(), revoked_.end(), [&](const Certified& one) { return one.serial == serial; });
}

const Registry::Certified* Registry::newest_of(const std::string& identity) const {
    const auto newest =
        std::find_if(issued_.rbegin(), issued_.rend(), [&](const Certified& one) { return one.identity == identity; });
    return newest == issued_.rend() ? nullptr : &*newest;
}

std::vector<Registry::Certified> Registry::retire(const std::string& identity, const std::string& shown) {
    std::vector<std::string> of_it;
    for (const Certified& one : issued_) {
        if (one.identity == identity) {
            of_it.push_back(one.serial);
        }
    }
    if (of_it.size() <= 2) {
        return {};
    }
    const bool knows_shown = std::find(of_it.begin(), of_it.end(), shown) != of_it.end();
    const std::string second = knows_shown ? shown : of_it[of_it.size() - 2];
    return revoke_those([&](const Certified& one) {
        return one.identity == identity && one.serial != of_it.back() && one.serial != second;
    });
}

Result<tls::Issued> Registry::issue(const tls::Identity& identity, EVP_PKEY* key, WallSeconds now) {
    prune_tokens(now);
    auto issued = authority_->issue(key, identity, std::chrono::seconds(tls::life_of_certificate));
    if (issued) {
        issued_.push_back({issued->serial, to_string(identity), issued->end, issued->certificate});
    }
    return issued;
}

void Registry::revoke(tls::Identity::Kind kind, const std::string& name, WallSeconds now) {
    prune_tokens(now);
    (void)revoke_those([&](const Certified& one) { return tls::is_of(one.identity, kind, name); });
    if (kind == tls::Identity::Kind::blade) {
        std::erase_if(tokens_, [&](const Token& token) { return token.blade == name && !token.used; });
    }
}

bool Registry::is_in(const std::string& blade, WallSeconds now) const {
    return std::any_of(issued_.begin(), issued_.end(),
                       [&](const Certified& one) { return tls::is_of(one.identity, tls::Identity::Kind::blade, blade); }) ||
           std::any_of(tokens_.begin(), tokens_.end(),
                       [&](const Token& token) { return token.blade == blade && !token.used && token.end > now; });
}

std::size_t Registry::count_revoked(tls::Identity::Kind kind, const std::string& name) const {
    return static_cast<std::size_t>(std::count_if(
        revoked_.begin(), revoked_.end(), [&](const Certified& one) { return tls::is_of(one.identity, kind, name); }));
}

std::vector<Registry::Certified> Registry::revoke_those(const std::function<bool(const Certified&)>& are_those) {
    const auto first = std::stable_partition(issued_.begin(), issued_.end(), std::not_fn(are_those));
    std::vector<Certified> gone(first, issued_.end());
    issued_.erase(first, issued_.end());
    for (Certified& one : gone) {
        one.certificate.clear();
    }
    revoked_.insert(revoked_.end(), gone.begin(), gone.end());
    return gone;
}

// Tokens only. A certificate that seems to have expired may be good again once the clock was put right, and a connection that it
// opened may be there still: what is issued is two of each identity, and what is revoked is short.
void Registry::prune_tokens(WallSeconds now) {
    std::erase_if(tokens_, [now](const Token& token) { return token.end + remembered < now; });
}

tls::Files Registry::files() const {
    return {in("module-cert.pem"), in("module-cert.pem"), in("ca-cert.pem"), in("revoked")};
}

std::vector<Registry::Writing> Registry::writings(WallSeconds now) {
    prune_tokens(now);
    return {list(), records()};
}

Registry::Writing Registry::list() const {
    std::string text;
    for (const Certified& one : revoked_) {
        text += one.serial + " " + one.identity + "\n";
    }
    return {in("revoked"), text, 0644};
}

Registry::Writing Registry::records() const {
    json records{{"module", module_}, {"addresses", addresses_}};
    records["issued"] = json::array();
    records["revoked"] = json::array();
    records["tokens"] = json::array();
    for (const Certified& one : issued_) {
        records["issued"].push_back(to_json(one));
    }
    for (const Certified& one : revoked_) {
        records["revoked"].push_back(to_json(one));
    }
    for (const Token& token : tokens_) {
        records["tokens"].push_back({{"blade", token.blade}, {"hash", token.hash}, {"end", token.end}, {"used", token.used}});
    }
    return {in("records.json"), records.dump(1) + "\n", 0600};
}

Status Registry::write(const std::vector<Writing>& writings) {
    for (const Writing& writing : writings) {
        if (Status written = write_durably(writing.path, writing.text, writing.mode); !written) {
            return written;
        }
    }
    return success();
}

}  // namespace drivebay::arbiter
