// The requests of one mounted filesystem in kept memory: where they are received, and where they stay until they are
// done with. What a dead server left is found again in the order it came. Thread of the loop only.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "fusefs/keeper/kept_memory.h"
#include "fusefs/keeper/kept_table.h"

namespace drivebay {

// FUSE_FORGET and its kin have none; FUSE_INTERRUPT can do without.
bool wants_answer(std::uint32_t opcode);

class KeptRequests {
public:
    // A write's data follow these two.
    static constexpr std::size_t write_header = sizeof(fuse_in_header) + sizeof(fuse_write_in);

    // `layout` outlives it.
    explicit KeptRequests(KeptLayout& layout);
    KeptRequests(const KeptRequests&) = delete;
    KeptRequests& operator=(const KeptRequests&) = delete;

    // What was left, oldest first, each with one more in `take_overs`: to be called once, before anything is received.
    std::vector<KeptRequest*> left();

    // One of that kind was received and is not done with.
    bool holds(std::uint32_t opcode) const;

    // Where the next message goes, resident: a read(2) of the device that a kill interrupts in a page fault would end the
    // request with EIO (fs/fuse/dev.c, fuse_dev_do_read). A write's data begin on a page there. Empty: there is no room
    // until a request is done with.
    std::span<std::byte> room();
    // `message`, received in room(), is kept: nothing that is done to room() later touches it.
    KeptRequest& keep(std::span<const std::byte> message);
    // It needs no answer, and was served: it is not to be found again.
    void drop(std::span<std::byte> message);

    // As received; of a write its two headers alone.
    std::span<const std::byte> message(const KeptRequest& request) const;
    // Of a write; page-aligned.
    std::byte* data(const KeptRequest& request) const;

    // Half of the room for such requests is left for those that somebody waits for: this one may stay for long.
    bool may_stay(const KeptRequest& request) const;
    // The asker gets `outcome`; the request is not to be done again.
    void applied(KeptRequest& request, int outcome);
    // The asker is told that it is done; the data are still to be moved.
    void answered(KeptRequest& request);
    void done(KeptRequest& request);

private:
    void finish_receiving();
    std::byte* place(std::uint32_t buffer) const;
    bool is_small(std::uint32_t buffer) const { return buffer > KeptLayout::larges; }
    void receive_elsewhere();
    void make_resident(std::uint32_t buffer);

    KeptLayout& layout_;
    KeptTable<KeptRequest, &KeptRequest::state> requests_;
    std::vector<std::uint32_t> free_smalls_;
    std::vector<std::uint32_t> free_larges_;
    std::vector<bool> resident_;
};

}  // namespace drivebay
