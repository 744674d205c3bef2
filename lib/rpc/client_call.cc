#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <optional>

#include "lib/rpc/channel_stream.h"
#include "lib/rpc/client.h"

namespace drivebay::rpc {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

// One request and its answer: steps that follow each other on a private loop, so that one limit covers them all.
class Call {
public:
    Call(const Endpoint& endpoint, const std::string& method, const std::string& target, const std::string& body,
         const Secure& secure)
        : endpoint_(endpoint), secure_(secure), resolver_(io_), stream_(io_), request_(http::string_to_verb(method), target, 11) {
        request_.set(http::field::host, endpoint.is_unix() ? "localhost" : endpoint.host);
        request_.set(http::field::content_type, "application/json");
        request_.keep_alive(false);
        request_.body() = body;
        request_.prepare_payload();
        parser_.body_limit(largest_answer);
    }

    Result<Response> run(Duration limit) {
        connect();
        io_.run_for(limit);
        if (!done_) {
            return Error{ETIMEDOUT, fmt::format("{} did not answer within {} s", to_string(endpoint_),
                                                std::chrono::duration_cast<std::chrono::seconds>(limit).count())};
        }
        if (refusal_) {
            return *refusal_;
        }
        if (error_) {
            const int code = error_.category() == boost::system::system_category() ||
                                     error_.category() == boost::system::generic_category()
                                 ? error_.value()
                                 : EIO;
            return Error{code, fmt::format("{}: {}", to_string(endpoint_), error_.message())};
        }
        return Response{static_cast<int>(parser_.get().result_int()), std::move(parser_.get().body())};
    }

private:
    static constexpr std::uint64_t largest_answer = 64 << 20;

    void connect() {
        if (endpoint_.is_unix()) {
            if (endpoint_.path.size() > 107) {  // sun_path
                finish(asio::error::name_too_long);
                return;
            }
            stream_.next_layer().async_connect(asio::local::stream_protocol::endpoint(endpoint_.path),
                                  [this](const beast::error_code& error) { error ? finish(error) : write(); });
            return;
        }
        resolver_.async_resolve(endpoint_.host, std::to_string(endpoint_.port),
                                [this](const beast::error_code& error, asio::ip::tcp::resolver::results_type found) {
                                    if (error) {
                                        finish(error);
                                        return;
                                    }
                                    addresses_ = std::move(found);
                                    connect_to(addresses_.begin());
                                });
    }

    void connect_to(asio::ip::tcp::resolver::results_type::const_iterator address) {
        const asio::ip::tcp::endpoint tcp = address->endpoint();
        stream_.next_layer().async_connect(tcp, [this, address](const beast::error_code& error) {
            if (!error) {
                secure_ ? secure() : write();
            } else if (std::next(address) != addresses_.end()) {
                connect_to(std::next(address));
            } else {
                finish(error);
            }
        });
    }

    void secure() {
        auto context = secure_();
        if (!context) {
            return refuse(context.error());
        }
        stream_.begin_tls(std::move(*context), Stream::Side::client, [this](const beast::error_code& error) {
            if (!error) {
                return write();
            }
            const bool is_verdict = SSL_get_verify_result(stream_.tls()) != X509_V_OK;
            refuse(Error{EPROTO, fmt::format("{}: no TLS: {}", to_string(endpoint_),
                                             is_verdict ? tls::refusal_of(stream_.tls()).reason : error.message())});
        });
    }

    void refuse(const Error& why) {
        done_ = true;
        refusal_ = why;
    }

    void write() {
        http::async_write(stream_, request_,
                          [this](const beast::error_code& error, std::size_t) { error ? finish(error) : read(); });
    }

    void read() {
        http::async_read(stream_, buffer_, parser_, [this](const beast::error_code& error, std::size_t) { finish(error); });
    }

    void finish(const beast::error_code& error) {
        done_ = true;
        error_ = error;
    }

    const Endpoint& endpoint_;
    const Secure& secure_;
    asio::io_context io_{1};
    asio::ip::tcp::resolver resolver_;
    asio::ip::tcp::resolver::results_type addresses_;
    Stream stream_;
    http::request<http::string_body> request_;
    http::response_parser<http::string_body> parser_;
    beast::flat_buffer buffer_;
    beast::error_code error_;
    std::optional<Error> refusal_;
    bool done_ = false;
};

}  // namespace

Result<Response> call(const Endpoint& endpoint, const std::string& method, const std::string& target,
                      const std::string& body, Duration limit, const Secure& secure) {
    return Call(endpoint, method, target, body, secure).run(limit);
}

}  // namespace drivebay::rpc
