// Whoever has a certificate of the module's authority gets the next one for it, with the same key, while it is good.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lib/base/result.h"
#include "lib/rpc/client.h"
#include "lib/tls/identity.h"

namespace drivebay::rpc {

// The folder's certificate ends within a third of what the module gives. False where there is none.
bool is_renewal_due(const std::string& folder);

// Asks the arbiter for it and puts it into the folder (lib/tls/folder.h). Blocks.
Status renew_identity(const std::string& folder, const Endpoint& arbiter, const Secure& secure, Duration limit);

// What an arbiter answers to whoever asks for a certificate, kept in the folder; or its sentence. EINVAL if it is for somebody else.
Status keep_answer(const std::string& folder, const Result<Response>& response, tls::Identity::Kind kind, const std::string& name);

}  // namespace drivebay::rpc
