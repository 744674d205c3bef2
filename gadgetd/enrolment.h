// How a blade comes by its certificate, and by the next one before it ends.
#pragma once

#include <string>

#include "gadgetd/settings.h"
#include "lib/base/result.h"
#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

// Makes this blade's key, and gets its certificate from the module that the token names, to nobody else of which the token's
// secret is told. Returns what there is to say. Blocks.
Result<std::string> enroll(const Settings& settings, const std::string& arbiter, const std::string& token, bool blade_is_set);

// Gets another certificate for the key that is there. Blocks.
Status renew(const Settings& settings);

// Renews at two thirds of the certificate's life; where that fails, again a while later. Reactor's thread; the asking is done
// on a thread of its own.
class Renewal {
public:
    Renewal(rpc::Reactor& reactor, const Settings& settings);

private:
    void look();

    const Settings& settings_;
    rpc::Timer timer_;
};

}  // namespace drivebay::gadgetd
