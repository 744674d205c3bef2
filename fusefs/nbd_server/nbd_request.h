// The one place that judges a request from the wire. Pure.
#pragma once

#include <cstdint>

#include "fusefs/nbd_server/nbd_protocol.h"

namespace drivebay::nbd {

struct ExportFacts {
    std::uint64_t size = 0;
    bool writable = false;
    bool block_status = false;  // base:allocation was negotiated
};

struct Verdict {
    enum class Action {
        perform,
        answer,      // with `error`; the payload, if the request bears one, is read and dropped first
        disconnect,  // the client asked for it, or nothing after this can be trusted to be a request
    } action = Action::perform;
    WireError error = WireError::none;
    std::uint32_t payload = 0;  // bytes that follow the header
    bool operator==(const Verdict&) const = default;
};

Verdict judge(const RequestHeader& request, const ExportFacts& facts);

}  // namespace drivebay::nbd
