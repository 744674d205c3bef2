#include "fusefs/nbd_client/nbd_pieces.h"

#include <algorithm>
#include <cstring>

namespace drivebay {

namespace {

constexpr std::uint32_t zero_buffer = 256 * 1024;

}  // namespace

std::uint32_t NbdPieces::partial_length() const {
    const std::uint32_t block = server_->minimum_block;
    const std::uint32_t left = request_->length - done_;
    const std::uint32_t into_block = static_cast<std::uint32_t>(position() % block);
    return into_block != 0 || left < block ? std::min(left, block - into_block) : 0;
}

std::optional<NbdPiece> NbdPieces::next() {
    switch (request_->operation) {
        case IoOperation::flush: return next_flush();
        case IoOperation::trim: return next_trim();
        case IoOperation::write_zeroes: return next_zeroes();
        case IoOperation::read:
        case IoOperation::write: break;
    }
    return next_data();
}

std::optional<NbdPiece> NbdPieces::next_flush() const {
    // A server without FLUSH promises that what it answered is as durable as it will ever be.
    if (flushed_ || !server_->can_flush) {
        return std::nullopt;
    }
    return NbdPiece{IoOperation::flush, 0, 0, nullptr, false, true};
}

std::optional<NbdPiece> NbdPieces::next_trim() const {
    // Advice: what is no whole block, or not known to the server, is left as it is.
    const std::uint64_t block = server_->minimum_block;
    const std::uint64_t begin = (request_->offset + block - 1) / block * block;
    const std::uint64_t end = (request_->offset + request_->length) / block * block;
    if (done_ != 0 || !server_->can_trim || begin >= end) {
        return std::nullopt;
    }
    return NbdPiece{IoOperation::trim, begin, static_cast<std::uint32_t>(end - begin), nullptr, false, true};
}

NbdPiece NbdPieces::next_bounce() {
    const std::uint32_t block = server_->minimum_block;
    if (bounce_state_ == Bounce::none) {
        bounce_ = std::make_unique<std::byte[]>(block);
        bounce_state_ = Bounce::read;
    }
    const bool reading = bounce_state_ == Bounce::read;
    return NbdPiece{reading ? IoOperation::read : IoOperation::write,
                    position() / block * block,
                    block,
                    bounce_.get(),
                    !reading && request_->fua && server_->can_fua,
                    true};
}

std::optional<NbdPiece> NbdPieces::next_data() {
    const std::uint32_t block = server_->minimum_block;
    current_ = partial_length();
    if (done_ == request_->length) {
        return request_->operation == IoOperation::write && request_->fua && !server_->can_fua ? next_flush()
                                                                                               : std::nullopt;
    }
    if (current_ != 0) {
        return next_bounce();
    }
    const std::uint32_t most = std::max(block, server_->maximum_payload / block * block);
    current_ = std::min((request_->length - done_) / block * block, most);
    return NbdPiece{request_->operation,
                    position(),
                    current_,
                    request_->data + done_,
                    request_->operation == IoOperation::write && request_->fua && server_->can_fua,
                    true};
}

std::optional<NbdPiece> NbdPieces::next_zeroes() {
    const std::uint32_t block = server_->minimum_block;
    current_ = partial_length();
    if (done_ == request_->length) {
        return request_->fua && !server_->can_fua ? next_flush() : std::nullopt;
    }
    if (current_ != 0) {
        return next_bounce();
    }
    current_ = (request_->length - done_) / block * block;
    const bool fua = request_->fua && server_->can_fua;
    if (server_->can_zero) {
        return NbdPiece{IoOperation::write_zeroes, position(), current_, nullptr, fua, request_->may_trim};
    }
    const std::uint32_t most = std::min(zero_buffer, server_->maximum_payload);
    current_ = std::min(current_, std::max(block, most / block * block));
    bounce_ = std::make_unique<std::byte[]>(current_);
    return NbdPiece{IoOperation::write, position(), current_, bounce_.get(), fua, true};
}

void NbdPieces::answered() {
    if (request_->operation == IoOperation::trim) {
        done_ = request_->length;
        return;
    }
    if (request_->operation == IoOperation::flush || done_ == request_->length) {
        flushed_ = true;
        return;
    }
    if (bounce_state_ == Bounce::read) {
        std::byte* const part = bounce_.get() + position() % server_->minimum_block;
        if (request_->operation == IoOperation::read) {
            std::memcpy(request_->data + done_, part, current_);
        } else {
            if (request_->operation == IoOperation::write) {
                std::memcpy(part, request_->data + done_, current_);
            } else {
                std::memset(part, 0, current_);
            }
            bounce_state_ = Bounce::write;
            return;
        }
    }
    bounce_state_ = Bounce::none;
    done_ += current_;
}

void NbdPieces::restart() {
    done_ = 0;
    current_ = 0;
    flushed_ = false;
    bounce_state_ = Bounce::none;
}

}  // namespace drivebay
