// Where a server listens or a client connects: a Unix socket or a TCP address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/result.h"

namespace drivebay::rpc {

struct Endpoint {
    std::string path;  // of a Unix socket; empty for TCP
    std::string host;  // of TCP: a name or an address, IPv6 without its brackets
    std::uint16_t port = 0;

    bool is_unix() const { return !path.empty(); }
};

inline constexpr std::uint16_t default_api_port = 4740;

// `/path`, `unix:/path`, `host`, `host:port`, `[v6]:port`, or any of the last three behind `http://`.
Result<Endpoint> parse_endpoint(std::string_view text, std::uint16_t default_port = default_api_port);

std::string to_string(const Endpoint& endpoint);

}  // namespace drivebay::rpc
