// One accepted connection while it speaks HTTP: requests one after the other, until it ends or becomes a WebSocket. For
// lib/rpc alone.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <optional>

#include "lib/rpc/channel_stream.h"
#include "lib/rpc/server.h"

namespace drivebay::rpc {

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
public:
    // `handlers` must outlive the connection or abandon() be called before.
    HttpConnection(Stream stream, Peer peer, const Handlers& handlers)
        : stream_(std::move(stream)), peer_(std::move(peer)), handlers_(&handlers) {}

    void read();
    // Ends it, its channel included, without a callback.
    void abandon();

private:
    // Makes sure that each request gets one answer, even if its handler drops the reply.
    class Answer;

    void handle();
    void upgrade();
    void write(Response response);

    static constexpr std::uint64_t largest_body = 1 << 20;
    static constexpr std::chrono::seconds longest_idle{30};

    Stream stream_;
    Peer peer_;
    const Handlers* handlers_;
    boost::beast::flat_buffer buffer_;
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    boost::beast::http::response<boost::beast::http::string_body> response_;
    std::optional<WebSocket> upgrading_;
    std::weak_ptr<ChannelStream> channel_;
};

}  // namespace drivebay::rpc
