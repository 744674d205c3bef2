// What gadgetd asks of the drivebayfs that serves its media, over its Unix socket (doc/PROTOCOL.md, "gadgetd and
// drivebayfs"). Blocking: on worker threads only.
#pragma once

#include <string>

#include "gadgetd/gadget_events.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/rpc/endpoint.h"

namespace drivebay::gadgetd {

class DrainClient {
public:
    // `blade`: this blade's name.
    DrainClient(rpc::Endpoint endpoint, std::string blade) : endpoint_(std::move(endpoint)), blade_(std::move(blade)) {}

    // An answer that cannot be understood is as none.
    DrainAnswer drain(const std::string& drive, Epoch epoch, Duration limit) const;
    // The views of this blade. A drivebayfs that counts nothing leaves `traffic` empty.
    struct Sources {
        SourceStates states;
        Traffic traffic;
    };
    Result<Sources> sources(Duration limit) const;

private:
    rpc::Endpoint endpoint_;
    std::string blade_;
};

}  // namespace drivebay::gadgetd
