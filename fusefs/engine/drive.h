// A drive as the data path uses it: something of a fixed size that completes requests later. Local ones (libaio) and
// remote ones (NBD) are the same from here on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lib/base/fd.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

enum class IoOperation { read, write, flush, write_zeroes, trim };

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

    // Called once, on the loop's thread, never from inside submit(). `error` is 0 or an errno.
    void (*done)(IoRequest& request, int error) = nullptr;
    void* context = nullptr;  // the submitter's own
    // While the request is behind a view's gate: what `done` and `context` were, and will be again.
    void (*asker_done)(IoRequest& request, int error) = nullptr;
    void* asker_context = nullptr;

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
    // Calls `closed` once nothing is in flight and the source is closed; no submit() after that. Loop thread only.
    virtual void close(std::function<void()> closed) = 0;
    // Empty, or the sentence that says why the drive does not work (now or for good).
    virtual std::string failure() const = 0;
};

}  // namespace drivebay
