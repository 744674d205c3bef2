// A drive on a file or block device through the page cache: what is in there is answered at once, by RWF_NOWAIT; what is
// not goes to threads (buffered libaio would block the loop inside io_submit). For media that many read at a time, and
// for file systems without O_DIRECT. Loop thread only.
#pragma once

#include <memory>
#include <vector>

#include "fusefs/engine/local_drive.h"

namespace drivebay {

class CachedDrive final : public LocalDrive {
public:
    CachedDrive(AioResources resources, OpenedFile file);
    ~CachedDrive() override;
    bool would_lend(const IoRequest& request) override;

private:
    void start(IoRequest& request) override;
    bool lend(IoRequest& request);
    bool move_now(IoRequest& request);
    void answer_soon(IoRequest& request);
    void write_soon(IoRequest& request);
    bool is_resident(std::uint64_t offset, std::uint64_t length);

    bool can_read_now_ = true;   // the file system knows RWF_NOWAIT for that
    bool can_write_now_ = true;
    // For lending: a description of its own, so that no lock hangs on what a slow client has not taken yet.
    std::shared_ptr<const UniqueFd> lent_;
    void* mapped_ = nullptr;  // the whole file, never touched: what mincore(2) is asked about
    std::vector<unsigned char> pages_;
    std::vector<IoRequest*> answers_;
    std::vector<IoRequest*> writes_;
};

}  // namespace drivebay
