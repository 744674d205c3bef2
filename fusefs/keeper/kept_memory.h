// The memory that outlives the process which serves a mounted filesystem: what the kernel asked and was not told yet,
// what it knows by number (inodes, open files), and what became of each epoch. The keeper (keeper.h) holds it as a memfd
// and hands it to each server in turn; here is its layout, and nothing that acts on it.
//
// A server may die between any two of its stores. So each record is filled first and made valid by one store of its own
// word, last; whoever takes over believes the words alone. Only the thread that serves touches it.
#pragma once

#include <linux/fuse.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/fd.h"
#include "lib/base/names.h"
#include "lib/base/result.h"

namespace drivebay {

// A name in a record: cut never, since no longer one is let in (lib/base/names.h).
struct KeptName {
    std::uint8_t length = 0;
    char text[max_name_length];
};

// One request that was received and not yet done with.
struct KeptRequest {
    enum State : std::uint32_t {
        unused = 0,
        received,  // to be served
        applied,   // done on the drive, with `outcome`: to be answered, and never done again, since the asker may have
                   // written something newer after an answer that we do not know of
        answered,  // write-behind: the asker has its answer, the drive has not got the data
    };
    std::atomic<std::uint32_t> state;
    std::int32_t outcome;     // bytes written, or an errno, negative
    std::uint64_t sequence;   // rises: the order in which they came
    std::uint64_t unique;     // the kernel's number of it
    std::uint32_t length;     // of the message
    std::uint32_t buffer;     // that holds the data, or all that does not fit here (KeptRequests counts them); 0: none
    std::uint32_t take_overs;  // how often it was found by a new server
    std::uint32_t inside;      // bytes of the message that are here: all, of a write its two headers, or none
    std::int64_t received_at;  // CLOCK_BOOTTIME, nanoseconds: since when its asker waits
    std::byte message[464];
};
static_assert(sizeof(KeptRequest) == 512);

// An inode that the kernel knows.
struct KeptNode {
    std::atomic<std::uint64_t> number;  // 0: unused
    std::uint64_t lookups;
    std::uint64_t size;
    std::uint64_t epoch;       // of the name; 0: a plain name
    std::uint64_t view_epoch;  // of the view behind it
    std::uint32_t block_size;
    std::uint8_t kind;  // FuseNode::Kind
    std::uint8_t drive_kind;
    std::uint8_t mode;
    std::uint8_t read_only;
    KeptName blade;
    KeptName drive;
};

// An open file.
struct KeptHandle {
    std::atomic<std::uint64_t> number;  // 0: unused
    std::uint64_t opened_by;            // the kernel's number of the OPEN
    std::uint64_t node;
    std::uint64_t epoch;
    std::uint8_t writable;
};

// What a blade knows of an epoch: whether answered writes may be missing on the drive.
struct KeptEpoch {
    enum State : std::uint32_t { unused = 0, open, drained, lost };
    std::atomic<std::uint32_t> state;
    std::atomic<std::uint32_t> unflushed;  // 1: some write was answered by the server that no FLUSH covers
    std::atomic<std::int32_t> write_error;  // an errno: an answered write failed, and the asker does not know of it yet
    std::atomic<std::int32_t> refused;  // an errno: an answered write failed, whoever knows of it
    std::uint64_t epoch;
    std::uint64_t sequence;  // rises: the oldest that is over makes room
    KeptName drive;
    char boot_id[40];  // of the server that answered them, with its final 0
};

struct KeptLayout {
    static constexpr std::uint64_t magic = 0x7065656b79616264;  // "dbaykeep"
    // To be raised whenever a record or a number below changes: a server leaves alone what it cannot read.
    static constexpr std::uint32_t version = 5;

    // The kernel wants room for the largest write and 4 KiB of header (fs/fuse/dev.c, fuse_dev_do_read).
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t largest_data = 1 << 20;
    static constexpr std::size_t large_size = page + largest_data + page;
    static constexpr std::size_t small_size = 16 * 1024;  // what f_mass_storage writes at once
    static constexpr std::size_t larges = 64;
    static constexpr std::size_t smalls = 1024;
    static constexpr std::size_t requests = 1024;
    static constexpr std::size_t nodes = 4096;
    static constexpr std::size_t handles = 2048;
    static constexpr std::size_t epochs = 256;

    struct Header {
        std::uint64_t magic;
        std::uint32_t version;
        std::uint32_t servers;  // how many have served
        std::uint64_t last_sequence;
        std::uint64_t last_node;
        std::uint64_t last_handle;
        std::uint64_t last_epoch_sequence;
        std::uint64_t last_instance;  // of all connections to exports (doc/PROTOCOL.md, Names)
        std::atomic<std::uint32_t> receiving;  // the buffer that requests are received in; 0: none
        std::uint32_t init_length;  // of the first message of the kernel's, FUSE_INIT; 0: not heard yet
        std::byte init[256];
    };

    alignas(page) Header header;
    alignas(page) KeptRequest request[requests];
    alignas(page) KeptNode node[nodes];
    alignas(page) KeptHandle handle[handles];
    alignas(page) KeptEpoch epoch[epochs];
    alignas(page) std::byte small[smalls][small_size];
    alignas(page) std::byte large[larges][large_size];
};

class KeptMemory {
public:
    KeptMemory() = default;
    KeptMemory(KeptMemory&& other) noexcept;
    KeptMemory& operator=(KeptMemory&& other) noexcept;
    ~KeptMemory();

    // New and empty. Pages are there once they are touched, and stay (mlock2(2), where that is allowed).
    static Result<KeptMemory> create();
    // What a keeper handed over. EPROTO: it was laid out by another version of the program.
    static Result<KeptMemory> adopt(UniqueFd memory);

    int fd() const { return fd_.get(); }
    KeptLayout& layout() { return *layout_; }
    const KeptLayout& layout() const { return *layout_; }

private:
    static Result<KeptMemory> map(UniqueFd memory);

    UniqueFd fd_;
    KeptLayout* layout_ = nullptr;
};

void set_name(KeptName& name, std::string_view text);
std::string_view name_of(const KeptName& name);

}  // namespace drivebay
