// A drive as the data path uses it: something of a fixed size that completes requests later. Local ones (libaio) and
// remote ones (NBD) are the same from here on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

// `cache` and `block_status` are asked of a range and change nothing, like a read.
enum class IoOperation {
    read,
    write,
    flush,
    write_zeroes,
    trim,
    cache,         // the range will be read soon; advice, of which only the beginning need be followed
    block_status,  // what of the range holds data: fills `extents`
};

// What needs a write lease, and a drive that is not read-only.
constexpr bool changes_drive(IoOperation operation) {
    return operation == IoOperation::write || operation == IoOperation::write_zeroes || operation == IoOperation::trim;
}

// A part of a drive. Neither hole nor zero: data, which may be said of anything.
struct Extent {
    std::uint64_t length = 0;
    bool hole = false;  // nothing is allocated for it
    bool zero = false;  // it reads as zeroes
    bool operator==(const Extent&) const = default;
};

inline constexpr std::uint32_t most_cached = 32 << 20;  // of a range; more is what NBD servers refuse, too
inline constexpr std::size_t most_extents = 1024;       // of one answer

// What a block_status request asks for and gets. Without an error `found` has at least one extent, and none is empty; they
// follow each other without gaps from the request's offset, at most to its end, perhaps not so far. The state may be another
// as soon as it is told: whoever reads holes as zeroes has to keep writers away.
struct ExtentList {
    std::vector<Extent> found;
    std::size_t limit = most_extents;
};

// One request. It belongs to whoever submits it and stays put, buffer included, until `done` was called.
struct IoRequest {
    IoOperation operation = IoOperation::read;
    bool fua = false;        // write, write_zeroes: durable before done
    bool may_trim = true;    // write_zeroes: a hole will do
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::byte* data = nullptr;  // read, write: `length` bytes; aligned buffers (AlignedBuffer) avoid a copy
    // read: the asker can also take the bytes from a file in the page cache, at the same offset. If `lent` is set when it
    // is done, they are there and not in `data`.
    bool may_lend = false;
    std::shared_ptr<const UniqueFd> lent;
    // write: the data lie in memory that outlives this process, and the asker knows what to do with an answer before it is
    // done. Who takes the request may then call it, once, before `done`: from there on the write is his to bring to the
    // drive, in its order, whatever happens; an error of `done` tells that it was given up.
    void (*answer_early)(IoRequest& request) = nullptr;
    bool answered_early = false;    // it was called, by this process or by one before it
    ExtentList* extents = nullptr;  // block_status: empty, to be filled by the drive, on any thread, before `done`

    Instant asked_at{};   // since when its asker waits, of a process before this one, too; {}: since it was submitted
    bool awaited = true;  // somebody waits for it: it counts in a pause of the drive

    // Called once, on the loop's thread, never from inside submit(). `error` is 0 or an errno.
    void (*done)(IoRequest& request, int error) = nullptr;
    void* context = nullptr;  // the submitter's own
    // While the request is behind a view's gate: what `done` and `context` were, and will be again.
    void (*asker_done)(IoRequest& request, int error) = nullptr;
    void* asker_context = nullptr;
    // And if it goes to the drive in pieces (DriveScheduler):
    bool uncut = false;           // it does not
    std::uint32_t taken = 0;      // bytes of it whose turn has come
    std::uint32_t pieces = 0;     // at the drive
    int pieces_error = 0;         // the first one's that failed
    IoRequest* whole = nullptr;   // of a piece: what it is a piece of

    IoRequest* next = nullptr;  // for the queue it currently stands in
};

struct DriveGeometry {
    std::uint64_t size = 0;        // bytes
    std::uint32_t block_size = 512; // the smallest unit that is written without read-modify-write
    bool read_only = false;
    bool rotational = false;
};

class Drive {
public:
    virtual ~Drive() = default;
    virtual DriveGeometry geometry() const = 0;
    // Takes any offset and length within the size; offsets and lengths of any alignment. Loop thread only.
    // After a failed flush every further write and flush fails with EIO until the drive is opened again: what the
    // kernel dropped cannot be asked for twice.
    virtual void submit(IoRequest& request) = 0;
    // The read would be lent if it were submitted now: it costs the drive nothing, however long it is.
    virtual bool would_lend(const IoRequest&) { return false; }
    // Calls `closed` once nothing is in flight and the source is closed; no submit() after that. Loop thread only.
    virtual void close(std::function<void()> closed) = 0;
    // Empty, or the sentence that says why the drive does not work (now or for good).
    virtual std::string failure() const = 0;
};

}  // namespace drivebay
