// One NBD client: its socket, its handshake, its requests in flight. Loop thread only.
//
// What a client can make this process hold is bounded: its requests and their data count against a limit of its own and
// against one of all clients until their replies are sent, and while either is used up nothing more is read from it. But
// each may have one request of up to 1 MiB under way whatever the others hold, so that the clients of a stuck drive do not
// stop those of another. One that stalls in the middle of a message, either way, is hung up on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/engine/view.h"
#include "fusefs/loop/event_loop.h"
#include "fusefs/nbd_server/loop_turns.h"
#include "fusefs/nbd_server/memory_budget.h"
#include "fusefs/nbd_server/nbd_exports.h"
#include "fusefs/nbd_server/nbd_handshake.h"
#include "fusefs/nbd_server/nbd_request.h"
#include "fusefs/nbd_server/nbd_stream.h"
#include "lib/base/denials.h"
#include "lib/base/fd.h"
#include "lib/base/strangers.h"

namespace drivebay::nbd {

// What all connections share; outlives them.
struct ConnectionContext {
    EventLoop& loop;
    BufferPool& buffers;
    Exports& exports;
    MemoryBudget& budget;
    LoopTurns& turns;
    Denials& denials;
    Strangers& strangers;
    std::shared_ptr<tls::Context> tls;  // null: there is none
    bool wants_identity = false;        // each client is to be a blade, and has that blade's exports
    std::function<bool(const std::string& identity)> has_room;  // for one connection more of that one
    std::function<void()> somebody_waits;  // for a stranger's turn
};

class NbdConnection final : public BarrierMember, private LoopTurns::Member {
public:
    using Id = Exports::Connection;

    // `finished` comes once, later, from the loop, when the socket is closed and nothing is in flight; then it is destroyed.
    NbdConnection(ConnectionContext& context, UniqueFd socket, NbdPeer peer, TlsPolicy tls, Id id,
                  std::function<void(Id)> finished);
    ~NbdConnection() override;

    const NbdPeer& peer() const { return peer_; }
    // It was to prove who it is, and has not yet.
    bool is_stranger() const { return wants_identity_ && peer_.identity.empty() && phase_ == Phase::handshake; }
    // A stranger's, to shake hands.
    void turn_has_come();
    // Hangs up now; what is in flight completes unanswered.
    void shut(const std::string& why) override;

private:
    struct Work;
    enum class Phase {
        handshake,
        transmission,
        draining,  // nothing more is read; what is asked is answered, then the connection ends
        lost,      // hung up; waits for what is in flight
        finished,
    };

    void on_event(std::uint32_t events);
    std::size_t take_turn(std::size_t most) override;
    void ask_for_turn() { context_.turns.ask(*this, view_.get()); }
    void receive(std::size_t most);
    bool has_turn();
    void shake_hands();
    void secured();
    bool receive_handshake();
    bool receive_requests(std::size_t most);
    bool receive_more_requests(std::size_t most);
    void pump_handshake();
    void ask();
    void begin_transmission();
    void on_export(Result<std::shared_ptr<View>> view);
    void on_view_ended();
    void parse_requests(std::size_t most = Poller::share / Poller::cost_of_request);
    bool take_request(const RequestHeader& header);
    bool may_hold(std::size_t bytes);
    void refuse(Work& work, WireError error, std::uint32_t payload);
    std::uint64_t spent() const { return moved_ + taken_ * Poller::cost_of_request; }
    void submit(Work& work);
    void completed(Work& work, int error);
    void answer(Work& work, WireError error);
    void schedule_send();
    void send(std::size_t most);
    std::size_t gather(std::span<iovec> pieces, std::size_t most, bool& more);
    ssize_t send_lent(const Work& work, std::size_t most);
    bool output_pending() const { return !text_.empty() || first_answer_ != nullptr; }
    void watch();
    void drain(const std::string& why);
    void lose(const std::string& why);
    void finish_if_idle();
    Work& new_work(const RequestHeader& header, std::size_t held);
    void release(Work& work);
    void check_stall();

    ConnectionContext& context_;
    NbdStream stream_;
    NbdPeer peer_;
    const Id id_;
    std::function<void(Id)> finished_;
    Phase phase_ = Phase::handshake;
    Handshake handshake_;
    const bool wants_identity_;  // of whoever speaks TLS
    enum class Turn { none, waits, has } turn_ = Turn::none;  // to shake hands
    bool question_asked_ = false;
    std::string opened_name_;
    std::shared_ptr<View> view_;
    std::uint64_t end_callback_ = 0;
    std::shared_ptr<MemoryBudget::Part> part_;  // the view's of the budget
    ExportFacts facts_;
    bool structured_replies_ = false;

    std::vector<std::byte> input_;
    std::size_t input_begin_ = 0;
    std::size_t input_end_ = 0;
    Work* receiving_ = nullptr;  // a write whose payload is on its way
    std::size_t received_ = 0;
    std::uint64_t skip_ = 0;     // payload bytes of a refused request
    Work* skipped_ = nullptr;    // that request, answered when they have been read
    WireError skipped_error_ = WireError::none;
    bool blocked_ = false;       // by a limit

    std::vector<std::unique_ptr<Work>> works_;
    Work* free_works_ = nullptr;
    std::size_t held_ = 0;       // bytes that count against the limits
    std::size_t in_flight_ = 0;  // requests at the drive
    std::size_t unanswered_ = 0; // requests taken, their replies not yet sent

    std::string text_;           // of the handshake, to be sent
    Work* first_answer_ = nullptr;
    Work* last_answer_ = nullptr;
    std::size_t sent_ = 0;       // of the first answer
    bool want_write_ = false;    // the socket takes no more
    bool writable_ = false;      // it does again
    bool readable_ = false;      // there is something to be received, or to be taken of `input_`, in the next turn
    std::uint32_t watched_ = 0;

    std::uint64_t moved_ = 0;        // bytes, either way
    std::uint64_t moved_before_ = 0; // at the last look
    std::uint64_t taken_ = 0;        // requests
    EventLoop::TimerId handshake_timer_ = 0;
    EventLoop::TimerId stall_timer_ = 0;
    EventLoop::TimerId end_timer_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drivebay::nbd
