// A drive at the other end of an NBD connection: a stranger's server (a remote drive of the management module) or a
// management module's export (everything a blade has). libnbd speaks the protocol; connecting, name resolution and the
// handshake happen on a worker, everything after that in the loop.
//
// Every unanswered request is kept, so that it can be sent again after a reconnect; overlapping writes are never in
// flight together, so that the order of repetition cannot matter. What may be repeated depends on the server:
//
//   Reconnect::barrier  The server is a drivebayfs. Each reconnect names the next instance (`<export>#<instance>`,
//                       doc/PROTOCOL.md, Names): the server lets the I/O of the lower one complete before it answers,
//                       so everything unanswered is repeated, writes included. ESHUTDOWN, or an export that is gone,
//                       means that the epoch has ended: every request then fails with ESHUTDOWN, for ever. If the
//                       server's boot id changed while writes were answered but not yet covered by a FLUSH, those may
//                       be lost: the drive fails for ever with EIO (State::failed).
//   Reconnect::plain    Nothing is known of the server. Reads are repeated. A connection lost while writes were
//                       unanswered or unflushed fails the drive until it is opened again, because an old write could
//                       land on a newer one, or be lost; unless trust_reconnect says that this server's writes end with
//                       their connection and survive it.
//
// A pause (PauseLimit) longer than pause_limit fails what is pending with EIO and makes the drive offline: new requests
// fail at once until a reconnect has succeeded. Writes that were answered early do not fail then: they stay, and are the
// first to be sent. Reconnecting is tried for ever, after 25 ms, rising to 1 s.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fusefs/engine/drive.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/clock.h"
#include "lib/base/result.h"
#include "lib/protocol/types.h"

namespace drivebay {

struct NbdExport;

enum class Reconnect { plain, barrier };

struct NbdDriveSettings {
    std::string uri;  // nbd://, nbds:// or nbd+unix://; barrier: its export name bears an epoch and no instance
    bool read_only = false;
    Reconnect reconnect = Reconnect::plain;
    bool trust_reconnect = false;
    Duration open_limit = std::chrono::seconds(5);
    Duration pause_limit = std::chrono::seconds(8);
    // barrier: the boot id of the server that an earlier process left writes with that no FLUSH covers; empty: with none.
    std::string unflushed_with;
    // Called with the boot id before the first write that no FLUSH covers is sent there, with "" when all are covered.
    std::function<void(const std::string& boot_id)> note_unflushed;
    // barrier: gives the next instance, no less than that and above all before. Empty: all of this drive.
    std::function<std::uint64_t(std::uint64_t at_least)> next_instance;
};

class NbdDrive final : public Drive {
public:
    enum class State {
        online,
        paused,   // no connection; requests wait
        offline,  // past the pause limit; requests fail with EIO until a reconnect succeeds
        ended,    // barrier: the epoch is over; ESHUTDOWN for ever
        failed,   // EIO for ever, failure() says why
        closed,
    };
    using Opened = std::function<void(Result<std::unique_ptr<NbdDrive>>)>;

    // `opened` comes once, on the loop's thread, never from inside the call, within settings.open_limit. Errors: EINVAL
    // (the URI, or an export that cannot be a drive), ENOENT (no such export), EROFS (plain: asked to write, the
    // export is read-only; with a barrier the export's own word is geometry().read_only), EHOSTUNREACH (no answer),
    // ETIMEDOUT, ECONNREFUSED and the like.
    static void open(EventLoop& loop, NbdDriveSettings settings, Opened opened);
    // Only after close() has called back, or before anything was submitted.
    ~NbdDrive() override;

    DriveGeometry geometry() const override;
    void submit(IoRequest& request) override;
    // Somebody waits, since IoRequest::asked_at, for what was submitted for nobody (IoRequest::awaited).
    void now_awaited(IoRequest& request);
    // What is pending fails, and all that comes: State::failed, with this sentence.
    void fail(std::string sentence);
    // Fails what is pending (EIO), then disconnects. Flush before.
    void close(std::function<void()> closed) override;
    std::string failure() const override;

    State state() const;
    // What the export said of itself at the last handshake.
    const NbdExport& description() const;
    // True while a write was answered that no answered FLUSH (or FUA) covers, or a write is unanswered.
    bool unflushed() const;
    // Requests that wait for their answer.
    std::size_t unanswered() const;
    // Bytes a second (LinkRate).
    std::uint64_t rate() const;
    // Writes that were answered with an error because of the connection: past the pause limit, ended, failed.
    std::uint64_t refused_writes() const;
    // Called at every change of state(), from the loop, never from inside a call of this class.
    void on_state(std::function<void(State)> callback);

private:
    struct Impl;
    explicit NbdDrive(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

const char* to_string(NbdDrive::State state);

}  // namespace drivebay
