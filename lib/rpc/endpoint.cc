#include "lib/rpc/endpoint.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>

#include "lib/base/log.h"

namespace drivebay::rpc {

Result<Endpoint> parse_endpoint(std::string_view text, std::uint16_t default_port) {
    const auto refuse = [&] {
        return Error{EINVAL, fmt::format("{} is no address: write /path/of/socket, host, host:port or [v6]:port",
                                         log::quoted(text))};
    };
    constexpr std::string_view unix_scheme = "unix:/";  // with its path: a host may be called unix, and have a port
    constexpr std::string_view http_scheme = "http://";
    if (text.substr(0, unix_scheme.size()) == unix_scheme) {
        text.remove_prefix(unix_scheme.size() - 1);
    }
    Endpoint endpoint;
    if (!text.empty() && text.front() == '/') {
        endpoint.path = text;
        return endpoint;
    }
    if (text.substr(0, http_scheme.size()) == http_scheme) {
        text.remove_prefix(http_scheme.size());
        if (!text.empty() && text.back() == '/') {
            text.remove_suffix(1);
        }
    }
    std::string_view port;
    if (!text.empty() && text.front() == '[') {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos || (end + 1 < text.size() && text[end + 1] != ':')) {
            return refuse();
        }
        endpoint.host = text.substr(1, end - 1);
        port = end + 1 < text.size() ? text.substr(end + 2) : "";
    } else {
        const std::size_t colon = text.find(':');
        endpoint.host = text.substr(0, colon);
        port = colon == std::string_view::npos ? "" : text.substr(colon + 1);
        if (colon != std::string_view::npos && port.empty()) {
            return refuse();
        }
    }
    endpoint.port = default_port;
    if (!port.empty()) {
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
        if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
            return refuse();
        }
    }
    if (endpoint.host.empty() || endpoint.host.find_first_of("/ @[]") != std::string::npos) {
        return refuse();
    }
    return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
    if (endpoint.is_unix()) {
        return endpoint.path;
    }
    const bool is_v6 = endpoint.host.find(':') != std::string::npos;
    return is_v6 ? fmt::format("[{}]:{}", endpoint.host, endpoint.port)
                 : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

}  // namespace drivebay::rpc
