#include "lib/rpc/channel_stream.h"

#include <boost/asio/buffer.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/json_text.h"

namespace drivebay::rpc {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using nlohmann::json;

void prepare(WebSocket& socket) {
    websocket::stream_base::timeout limits;
    limits.handshake_timeout = std::chrono::seconds(5);
    limits.idle_timeout = std::chrono::seconds(5);
    limits.keep_alive_pings = true;
    // The WebSocket has its own time limits; the stream's would cut in.
    socket.next_layer().expires_never();
    socket.set_option(limits);
    socket.read_message_max(largest_message);
    socket.text(true);
}

void ChannelStream::start(std::shared_ptr<void> owner) {
    owner_ = std::move(owner);
    read();
}

void ChannelStream::read() {
    socket_.async_read(incoming_, [self = shared_from_this()](const beast::error_code& error, std::size_t) {
        if (error) {
            const std::string& reason = self->closing_ ? self->close_reason_ : std::string(self->socket_.reason().reason.c_str());
            self->finish(error == websocket::error::closed && !reason.empty() ? reason : error.message());
            return;
        }
        const json message = parse_json({static_cast<const char*>(self->incoming_.data().data()), self->incoming_.data().size()});
        self->incoming_.consume(self->incoming_.size());
        if (!message.is_object()) {
            self->close("a message was no JSON object");
        } else if (const auto callback = self->on_message; callback && !self->closing_) {
            callback(message);
        }
        self->read();
    });
}

void ChannelStream::send(const json& message) {
    if (closing_ || finished_) {
        return;
    }
    // A name with broken UTF-8 must not throw here: it was refused where it came in, or is shown replaced.
    outgoing_.push_back(message.dump(-1, ' ', false, json::error_handler_t::replace));
    outgoing_bytes_ += outgoing_.back().size();
    if (outgoing_bytes_ > largest_backlog) {
        const auto self = shared_from_this();
        boost::asio::post(socket_.get_executor(), [self] { self->finish("the peer does not read"); });
        return;
    }
    if (!writing_) {
        write();
    }
}

void ChannelStream::write() {
    writing_ = true;
    socket_.async_write(boost::asio::buffer(outgoing_.front()),
                        [self = shared_from_this()](const beast::error_code& error, std::size_t) {
                            self->writing_ = false;
                            if (error || self->finished_) {
                                return;  // the pending read tells the end
                            }
                            self->outgoing_bytes_ -= self->outgoing_.front().size();
                            self->outgoing_.pop_front();
                            if (!self->outgoing_.empty()) {
                                self->write();
                            } else if (self->closing_) {
                                self->begin_close();
                            }
                        });
}

void ChannelStream::close(const std::string& reason) {
    if (closing_ || finished_) {
        return;
    }
    closing_ = true;
    close_reason_ = reason;
    if (!writing_) {
        begin_close();
    }
}

void ChannelStream::begin_close() {
    // A close frame's reason has at most 123 bytes (RFC 6455, section 5.5).
    websocket::close_reason farewell(websocket::close_code::normal, close_reason_.substr(0, 123));
    socket_.async_close(farewell, [self = shared_from_this()](const beast::error_code&) {
        self->finish(self->close_reason_);
    });
}

void ChannelStream::abandon() {
    on_message = nullptr;
    on_close = nullptr;
    finish("");
}

void ChannelStream::finish(const std::string& reason) {
    if (std::exchange(finished_, true)) {
        return;
    }
    beast::get_lowest_layer(socket_).close();
    const auto self = shared_from_this();
    owner_.reset();
    on_message = nullptr;
    if (const auto callback = std::exchange(on_close, nullptr)) {
        callback(reason);
    }
}

}  // namespace drivebay::rpc
