// Requests to the arbiter as a command makes them: one answer, or a sentence and the exit status that goes with it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/rpc/client.h"

namespace drivebay::cli {

// The contract of the command's exit status (doc/PROTOCOL.md, drivebay(8)).
enum ExitStatus : int {
    done = 0,
    refused = 1,      // what was asked is not possible; nothing was changed
    wrong_usage = 2,  // the command line cannot be understood
    unreachable = 3,  // no answer from the arbiter: whether the request had an effect is not known
};

// An Error whose code is the ExitStatus to end with: the only meaning that Error::code has in this folder.
Error failure(ExitStatus status, std::string sentence);

inline constexpr char default_server[] = "/run/drivebay/arbiter.sock";

// Where an operator's key and certificate are; else in ~/.config/drivebay, else in /etc/drivebay/operator. With one, an arbiter
// on another machine is spoken to in TLS; with none, in plain (its configuration says `security = "none"`).
inline constexpr char identity_variable[] = "DRIVEBAY_IDENTITY";

class Arbiter {
public:
    // `server` is what the user typed (--server, $DRIVEBAY_SERVER) or the default. wrong_usage if it has no such form.
    static Result<Arbiter> at(const std::string& server);

    // What the one at `server` answers, as at() and get().
    static Result<nlohmann::json> get_from(const std::string& server, const std::string& target);

    // Blocks until the answer is there. `target` is path and query, made of checked names only.
    // refused: the arbiter's own sentence. unreachable: what it is and what to type.
    Result<nlohmann::json> get(const std::string& target, Duration limit = std::chrono::seconds(15)) const;
    Result<nlohmann::json> post(const std::string& target, const nlohmann::json& body,
                                Duration limit = std::chrono::seconds(30)) const;
    Result<nlohmann::json> remove(const std::string& target) const;

    // By the Unix socket: paths mean the same at both ends.
    bool is_local() const { return endpoint_.is_unix(); }
    const std::string& name() const { return name_; }

private:
    Result<nlohmann::json> request(const std::string& method, const std::string& target, const std::string& body,
                                   Duration limit) const;

    rpc::Endpoint endpoint_;
    rpc::Secure secure_;
    std::string name_;
};

// What an HTTP status and body amount to; `server` is for the sentences.
Result<nlohmann::json> judge_answer(const std::string& server, int http_status, const std::string& body);

}  // namespace drivebay::cli
