#include "fusefs/keeper/kept_requests.h"

#include <algorithm>
#include <cstring>

#include "lib/base/clock.h"

namespace drivebay {

namespace {

// Buffers are numbered from 1: the large ones, then the small ones.
constexpr std::uint32_t first_small = KeptLayout::larges + 1;

const fuse_in_header& header_of(const std::byte* message) { return *reinterpret_cast<const fuse_in_header*>(message); }

// The word by which a successor knows that a message was received completely: the kernel writes it.
std::atomic_ref<std::uint32_t> length_word(std::byte* message) {
    return std::atomic_ref<std::uint32_t>(reinterpret_cast<fuse_in_header*>(message)->len);
}

}  // namespace

bool wants_answer(std::uint32_t opcode) {
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

KeptRequests::KeptRequests(KeptLayout& layout)
    : layout_(layout), requests_(layout.request), resident_(KeptLayout::larges + 1) {
    std::vector<bool> used(first_small + KeptLayout::smalls);
    for (const KeptRequest* const request : requests_.in_use()) {
        used[request->buffer] = true;
    }
    if (const std::uint32_t receiving = layout.header.receiving; receiving != 0) {
        used[receiving] = true;
    }
    for (std::uint32_t buffer = first_small + KeptLayout::smalls; buffer-- > 1;) {
        if (!used[buffer]) {
            (is_small(buffer) ? free_smalls_ : free_larges_).push_back(buffer);
        }
    }
}

// What was in the midst of being received when the server died: whole, or not begun.
void KeptRequests::finish_receiving() {
    const std::uint32_t receiving = layout_.header.receiving;
    if (receiving == 0) {
        return;
    }
    const std::vector<KeptRequest*> kept = requests_.in_use();
    if (std::ranges::any_of(kept, [&](const KeptRequest* request) { return request->buffer == receiving; })) {
        layout_.header.receiving = 0;
        return;
    }
    std::byte* const message = place(receiving) + KeptLayout::page - write_header;
    const std::span<std::byte> whole(message, length_word(message));
    if (whole.size() < sizeof(fuse_in_header)) {
        return;
    }
    const fuse_in_header& header = header_of(message);
    const bool is_kept =
        std::ranges::any_of(kept, [&](const KeptRequest* request) { return request->unique == header.unique; });
    // A FORGET was perhaps carried out: an inode too many is better than one too few.
    if (is_kept || !wants_answer(header.opcode) || requests_.full()) {
        return drop(whole);
    }
    keep(whole);
}

std::vector<KeptRequest*> KeptRequests::left() {
    finish_receiving();
    std::vector<KeptRequest*> found = requests_.in_use();
    std::ranges::sort(found, {}, &KeptRequest::sequence);
    for (KeptRequest* const request : found) {
        ++request->take_overs;
    }
    return found;
}

bool KeptRequests::holds(std::uint32_t opcode) const {
    return std::ranges::any_of(layout_.request, [&](const KeptRequest& request) {
        return request.state.load() != KeptRequest::unused && header_of(message(request).data()).opcode == opcode;
    });
}

std::byte* KeptRequests::place(std::uint32_t buffer) const {
    return is_small(buffer) ? layout_.small[buffer - first_small] : layout_.large[buffer - 1];
}

void KeptRequests::make_resident(std::uint32_t buffer) {
    if (resident_[buffer]) {
        return;
    }
    resident_[buffer] = true;
    volatile std::byte* const bytes = place(buffer);
    for (std::size_t at = 0; at < KeptLayout::large_size; at += KeptLayout::page) {
        bytes[at] = std::byte{0};
    }
}

void KeptRequests::receive_elsewhere() {
    if (free_larges_.empty()) {
        layout_.header.receiving = 0;
        return;
    }
    const std::uint32_t buffer = free_larges_.back();
    free_larges_.pop_back();
    make_resident(buffer);
    length_word(place(buffer) + KeptLayout::page - write_header) = 0;
    layout_.header.receiving = buffer;
}

std::span<std::byte> KeptRequests::room() {
    if (requests_.full()) {
        return {};
    }
    if (layout_.header.receiving == 0) {
        receive_elsewhere();
    }
    const std::uint32_t buffer = layout_.header.receiving;
    if (buffer == 0) {
        return {};
    }
    make_resident(buffer);
    return std::span(place(buffer), KeptLayout::large_size).subspan(KeptLayout::page - write_header);
}

KeptRequest& KeptRequests::keep(std::span<const std::byte> message) {
    const fuse_in_header& header = header_of(message.data());
    const bool is_write = header.opcode == FUSE_WRITE && message.size() >= write_header;
    const std::size_t inside = is_write ? write_header : message.size();
    const std::size_t behind = is_write ? message.size() - write_header : 0;
    const bool fits = inside <= sizeof(KeptRequest::message);
    KeptRequest& request = *requests_.take();
    request.unique = header.unique;
    request.length = static_cast<std::uint32_t>(message.size());
    request.outcome = 0;
    request.take_overs = 0;
    request.received_at = BootClock::now().time_since_epoch().count();
    request.sequence = ++layout_.header.last_sequence;
    request.buffer = 0;
    request.inside = fits ? static_cast<std::uint32_t>(inside) : 0;
    if (fits) {
        std::memcpy(request.message, message.data(), inside);
    }
    bool moved = fits;
    if (fits && behind > 0) {
        moved = behind <= KeptLayout::small_size && !free_smalls_.empty();
        if (moved) {
            request.buffer = free_smalls_.back();
            free_smalls_.pop_back();
            std::memcpy(place(request.buffer), message.data() + write_header, behind);
        }
    }
    if (!moved) {
        request.buffer = layout_.header.receiving;
    }
    request.state.store(KeptRequest::received);
    if (moved) {
        length_word(const_cast<std::byte*>(message.data())) = 0;
    } else {
        receive_elsewhere();
    }
    return request;
}

void KeptRequests::drop(std::span<std::byte> message) { length_word(message.data()) = 0; }

std::span<const std::byte> KeptRequests::message(const KeptRequest& request) const {
    if (request.inside > 0) {
        return {request.message, request.inside};
    }
    return {place(request.buffer) + KeptLayout::page - write_header, request.length};
}

std::byte* KeptRequests::data(const KeptRequest& request) const {
    return is_small(request.buffer) ? place(request.buffer) : place(request.buffer) + KeptLayout::page;
}

bool KeptRequests::may_stay(const KeptRequest& request) const {
    return !requests_.half_full() && free_larges_.size() > KeptLayout::larges / 2 &&
           (request.buffer == 0 || !is_small(request.buffer) || free_smalls_.size() > KeptLayout::smalls / 2);
}

void KeptRequests::applied(KeptRequest& request, int outcome) {
    request.outcome = outcome;
    request.state.store(KeptRequest::applied);
}

void KeptRequests::answered(KeptRequest& request) { request.state.store(KeptRequest::answered); }

void KeptRequests::done(KeptRequest& request) {
    const std::uint32_t buffer = request.buffer;
    requests_.give_back(request);
    if (buffer != 0) {
        (is_small(buffer) ? free_smalls_ : free_larges_).push_back(buffer);
    }
}

}  // namespace drivebay
