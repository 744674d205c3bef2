#include "lib/rpc/http_connection.h"

#include <atomic>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

namespace drivebay::rpc {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

namespace {

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        const char* const begin = text.data() + i + 1;
        if (text[i] == '%' && i + 2 < text.size() && std::from_chars(begin, begin + 2, value, 16).ptr == begin + 2) {
            out += static_cast<char>(value);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

void split_target(std::string_view target, Request& request) {
    const std::size_t mark = target.find('?');
    request.path = percent_decoded(target.substr(0, mark));
    std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        const std::size_t equals = pair.find('=');
        request.query[percent_decoded(pair.substr(0, equals))] =
            equals == std::string_view::npos ? "" : percent_decoded(pair.substr(equals + 1));
    }
}

}  // namespace

class HttpConnection::Answer {
public:
    explicit Answer(std::shared_ptr<HttpConnection> connection) : connection_(std::move(connection)) {}
    ~Answer() {
        if (connection_) {
            connection_->write({500, R"({"error":"the request was dropped unanswered"})"});
        }
    }
    Answer(const Answer&) = delete;
    Answer& operator=(const Answer&) = delete;

    void give(Response response) {
        if (const auto connection = std::exchange(connection_, nullptr)) {
            connection->write(std::move(response));
        }
    }

private:
    std::shared_ptr<HttpConnection> connection_;
};

void HttpConnection::start_tls(std::shared_ptr<tls::Context> context, std::function<void(std::function<void()>)> turn,
                               std::function<void()> proved) {
    proved_.callback_ = std::move(proved);
    peer_.secure = true;
    silence_.expires_after(longest_unproved);
    silence_.async_wait([weak = weak_from_this()](const beast::error_code& error) {
        if (const auto self = weak.lock(); self && !error) {
            self->abandon();
        }
    });
    stream_.await_hello([self = shared_from_this(), context = std::move(context),
                         turn = std::move(turn)](const beast::error_code& error) {
        self->silence_.cancel();
        if (!error && self->handlers_ != nullptr) {
            turn([self, context] { self->shake_hands(context); });
        }
    });
}

void HttpConnection::shake_hands(std::shared_ptr<tls::Context> context) {
    if (handlers_ != nullptr) {
        stream_.expires_after(longest_unproved);
        stream_.begin_tls(std::move(context), Stream::Side::server,
                          [self = shared_from_this()](const beast::error_code& error) { self->secured(error); });
    }
}

void HttpConnection::secured(const beast::error_code& error) {
    if (handlers_ == nullptr || stream_.tls() == nullptr) {
        return;
    }
    if (error) {
        const bool is_verdict = SSL_get_verify_result(stream_.tls()) != X509_V_OK;
        // One that just hangs up has asked for nothing.
        if (handlers_->on_refused && (is_verdict || error.category() == boost::asio::error::get_ssl_category())) {
            const tls::Refusal refusal = tls::refusal_of(stream_.tls());
            handlers_->on_refused(peer_, refusal.identity, is_verdict ? refusal.reason : error.message());
        }
        return;
    }
    if (const auto shown = tls::shown_by(stream_.tls())) {
        // Since it was looked at, and before it could be found by that serial number.
        if (stream_.is_revoked(shown->serial)) {
            if (handlers_->on_refused) {
                handlers_->on_refused(peer_, tls::to_string(shown->identity), "the certificate was revoked");
            }
            return;
        }
        peer_.identity = tls::to_string(shown->identity);
        peer_.serial = shown->serial;
        proved_.call();
    }
    read();
}

void HttpConnection::read() {
    parser_.emplace();
    parser_->body_limit(is_unproved() ? largest_unproved_body : largest_body);
    stream_.expires_after(is_unproved() ? longest_unproved : longest_idle);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const beast::error_code& error, std::size_t) {
                         if (!error) {
                             self->handle();
                         } else if (error == http::error::body_limit) {
                             self->write({413, R"({"error":"the request is too large"})"});
                         } else if (error != http::error::end_of_stream && error.category() == http::make_error_code(http::error::bad_method).category()) {
                             self->write({400, R"({"error":"this is no HTTP request that can be read"})"});
                         }
                     });
}

void HttpConnection::handle() {
    if (handlers_ == nullptr) {
        return;
    }
    if (websocket::is_upgrade(parser_->get()) && !is_unproved()) {
        upgrade();
        return;
    }
    auto& message = parser_->get();
    Request request;
    request.method = std::string(message.method_string());
    split_target(std::string_view(message.target().data(), message.target().size()), request);
    request.body = std::move(message.body());
    request.peer = peer_;
    // The handler may take its time (long polls do).
    stream_.expires_never();
    const auto answer = std::make_shared<Answer>(shared_from_this());
    handlers_->on_request(std::move(request), [answer](Response response) { answer->give(std::move(response)); });
}

void HttpConnection::write(Response response) {
    const bool keep_alive = !is_unproved() && parser_->is_done() && parser_->get().keep_alive();
    response_ = {};
    response_.version(11);
    response_.result(static_cast<unsigned>(response.status));
    response_.set(http::field::content_type, "application/json");
    response_.keep_alive(keep_alive);
    response_.body() = std::move(response.body);
    response_.prepare_payload();
    stream_.expires_after(is_unproved() ? longest_unproved : longest_idle);
    http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](const beast::error_code& error, std::size_t) {
        if (!error && keep_alive) {
            self->read();
        } else if (!error) {
            beast::error_code ignored;
            self->stream_.socket().shutdown(Socket::shutdown_send, ignored);
        }
    });
}

void HttpConnection::upgrade() {
    std::string path(parser_->get().target());
    path = path.substr(0, path.find('?'));
    upgrading_.emplace(std::move(stream_));
    prepare(*upgrading_);
    upgrading_->async_accept(parser_->get(), [self = shared_from_this(), path](const beast::error_code& error) {
        if (error || self->handlers_ == nullptr) {
            return;
        }
        const auto channel = std::make_shared<ChannelStream>(std::move(*self->upgrading_), self->peer_);
        self->upgrading_.reset();
        self->channel_ = channel;
        self->handlers_->on_channel(path, channel);
        channel->start(self);
    });
}

void HttpConnection::cut(const std::string& reason) {
    if (const auto channel = channel_.lock()) {
        channel->cut(reason);
    } else {
        abandon();
    }
}

void HttpConnection::abandon() {
    handlers_ = nullptr;
    if (const auto channel = channel_.lock()) {
        channel->abandon();
    } else if (upgrading_) {
        beast::get_lowest_layer(*upgrading_).close();
    } else {
        stream_.close();
    }
}

}  // namespace drivebay::rpc
