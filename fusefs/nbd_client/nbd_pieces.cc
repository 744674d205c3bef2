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
        case IoOperation::cache: return next_cache();
        case IoOperation::block_status: return next_block_status();
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

std::optional<NbdPiece> NbdPieces::next_cache() const {
    // Advice, like a trim; reading a little more than was asked for does no harm.
    const std::uint64_t block = server_->minimum_block;
    const std::uint64_t begin = request_->offset / block * block;
    const std::uint64_t end = (request_->offset + std::min<std::uint64_t>(request_->length, most_cached)) / block * block;
    if (done_ != 0 || !server_->can_cache || begin >= end) {
        return std::nullopt;
    }
    return NbdPiece{IoOperation::cache, begin, static_cast<std::uint32_t>(end - begin), nullptr, false, true};
}

std::optional<NbdPiece> NbdPieces::next_block_status() {
    if (done_ != 0 || !server_->can_block_status) {
        if (request_->extents->found.empty()) {
            request_->extents->found.push_back({request_->length, false, false});
        }
        return std::nullopt;
    }
    // Whole blocks, and at most what a length on the wire can hold; an answer may cover less than was asked for.
    const std::uint64_t block = server_->minimum_block;
    const std::uint64_t begin = request_->offset / block * block;
    const std::uint64_t end = (request_->offset + request_->length + block - 1) / block * block;
    const std::uint64_t length = std::min<std::uint64_t>(end - begin, UINT32_MAX / block * block);
    extents_.found.clear();
    // The first may lie before the request, within its first block.
    extents_.limit = request_->extents->limit + (begin == request_->offset ? 0 : 1);
    return NbdPiece{IoOperation::block_status, begin, static_cast<std::uint32_t>(length), nullptr, false, true, &extents_};
}

// Cuts what the server told to what was asked for: a part of the first block may lie before it, and more behind it.
void NbdPieces::take_extents() {
    std::uint64_t before = request_->offset % server_->minimum_block;
    std::uint64_t left = request_->length;
    ExtentList& into = *request_->extents;
    for (Extent extent : extents_.found) {
        const std::uint64_t skipped = std::min(before, extent.length);
        before -= skipped;
        extent.length = std::min(extent.length - skipped, left);
        left -= extent.length;
        if (extent.length > 0 && into.found.size() < into.limit) {
            into.found.push_back(extent);
        }
    }
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
    if (request_->operation == IoOperation::block_status) {
        take_extents();
    }
    if (request_->operation == IoOperation::trim || request_->operation == IoOperation::cache ||
        request_->operation == IoOperation::block_status) {
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
