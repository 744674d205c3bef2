// One (drive, epoch) of a blade: the NBD connection that all its open files share, from the first open to the FLUSH
// after the last close, and what became of it. A host that reads in order is read ahead for (ReadAhead). Writes are answered
// early (WriteBehind) while it is connected, and those that follow each other sent together (WriteCoalescing). If one of them
// fails, the next write or flush that is answered tells so, as with a disk's own write cache, and the epoch ends as lost. Loop
// thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/control/drain_service.h"
#include "fusefs/blade/read_ahead.h"
#include "fusefs/blade/write_behind.h"
#include "fusefs/blade/write_coalescing.h"
#include "fusefs/engine/view.h"
#include "fusefs/keeper/kept_epochs.h"
#include "fusefs/loop/event_loop.h"
#include "fusefs/nbd_client/nbd_drive.h"
#include "fusefs/nbd_client/nbd_negotiation.h"

namespace drivebay {

// EPROTO if the export does not say its epoch: the server is no drivebayfs.
Result<ViewInfo> blade_view_info(const std::string& blade, const std::string& drive, const NbdExport& found);

class BladeDrive : public std::enable_shared_from_this<BladeDrive> {
public:
    struct Settings {
        std::string uri;  // of <blade>/<drive>@<epoch>
        std::string blade;
        std::string drive;
        Epoch epoch = 0;
        Duration pause_limit{};
    };
    using Opened = std::function<void(Result<std::shared_ptr<View>>)>;

    // `closed` runs once, when the connection is gone for good; the answer says how it ended.
    BladeDrive(EventLoop& loop, KeptEpochs& epochs, Settings settings, std::function<void(DrainAnswer)> closed);
    ~BladeDrive();

    // A view on it, connecting first if need be. ENOENT: the epoch is over. EHOSTUNREACH. EROFS: not writable.
    void open(Mode mode, Opened opened);
    // Connects if it is not, so that what an earlier process of this blade left is complete on the server (the server's
    // barrier), then flushes and closes. Answered by `closed`.
    void settle();
    // Closes as soon as the last view is gone, flushed or not: the program ends. What was answered early is lost.
    void give_up();

    // True once no more views can be had: the next open is another BladeDrive's.
    bool closing() const { return closing_; }
    // Offline until it is connected.
    ViewStatus status() const;

private:
    friend class BladeView;
    void submit(IoRequest& request);
    void send(IoRequest& request);
    void follow(IoRequest& request);
    int outcome_of(const IoRequest& request, int error);
    void note_write_error(int error);
    void note_refused(int error);
    bool is_over() const;
    ViewStatus::State told_state() const;
    void connect();
    void on_connected(Result<std::unique_ptr<NbdDrive>> drive);
    void gone(const Error& error);
    void serve_waiting();
    void on_state(NbdDrive::State state);
    void view_closed();
    void try_close();
    void flushed(int error);
    void close(DrainAnswer answer);
    void over(DrainAnswer answer);
    DrainAnswer verdict() const;
    std::string unflushed_sentence() const;
    std::string refused_sentence() const;

    struct Waiting {
        Mode mode;
        Opened opened;
    };

    EventLoop& loop_;
    KeptEpochs& epochs_;
    const Settings settings_;
    std::function<void(DrainAnswer)> closed_;
    KeptEpoch* kept_ = nullptr;  // of an epoch with write access
    std::unique_ptr<NbdDrive> drive_;
    ViewInfo info_;
    std::vector<Waiting> waiting_;
    std::uint64_t views_ = 0;
    bool was_opened_ = false;
    protocol::Counters counters_;
    ReadAhead read_ahead_;
    WriteBehind write_behind_;
    WriteCoalescing write_coalescing_;
    bool answers_early_ = true;  // until such a write fails: then each one gets its own answer
    int write_error_ = 0;        // as KeptEpoch's
    int refused_ = 0;            // as KeptEpoch's
    std::map<std::uint64_t, std::function<void()>> on_end_;
    std::uint64_t last_end_ = 0;
    IoRequest flush_;
    bool connecting_ = false;
    bool flushing_ = false;
    bool settling_ = false;
    bool giving_up_ = false;
    bool closing_ = false;
};

}  // namespace drivebay
