// One established NBD connection in the loop: pieces go out, answers come back. It judges nothing; what a lost
// connection means is the drive's business. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "fusefs/loop/event_loop.h"
#include "fusefs/nbd_client/nbd_negotiation.h"
#include "fusefs/nbd_client/nbd_pieces.h"
#include "lib/base/fd.h"

namespace drivebay {

class NbdWire {
public:
    struct Answer {
        void* token = nullptr;
        int error = 0;
    };

    // `on_activity` runs in the loop whenever there may be answers, or the connection is lost; it may destroy the wire.
    NbdWire(EventLoop& loop, NbdHandle handle, std::function<void()> on_activity);
    // Ends the connection. From here on no buffer of an unanswered piece is touched, no answer comes.
    ~NbdWire();
    NbdWire(const NbdWire&) = delete;
    NbdWire& operator=(const NbdWire&) = delete;

    // The piece's data stay in place until its answer was taken or the wire is destroyed. Answers never come from
    // inside.
    void send(const NbdPiece& piece, void* token);
    // Those that came since the last call. A lost connection answers nothing.
    std::vector<Answer> take_answers();

    bool lost() const { return lost_; }
    // Something arrived from the server since the last call.
    bool heard();
    // The server's machine took something of what was sent since the last call: a long way out is no silence.
    bool moves();
    // Says goodbye (NBD_CMD_DISC) as far as that goes without waiting.
    void say_goodbye();

private:
    static int on_answer(void* user_data, int* error);
    static std::int64_t block_status(nbd_handle* handle, const NbdPiece& piece, nbd_completion_callback callback);
    void on_events(std::uint32_t events);
    void look_after_call();

    EventLoop& loop_;
    NbdHandle handle_;
    std::function<void()> on_activity_;
    // A duplicate: libnbd closes its own as soon as the connection is lost, and the number must not be another's while
    // the loop still watches it.
    UniqueFd fd_;
    std::uint32_t watched_ = 0;
    bool lost_ = false;
    bool heard_ = false;
    bool took_ = false;  // the socket had room again
    int unsent_ = 0;     // bytes that its machine had not taken at the last look
    bool activity_due_ = false;
    std::vector<Answer> answers_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drivebay
