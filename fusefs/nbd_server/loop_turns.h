// Whose turn it is to receive and to send: in each of the loop's rounds so much for each blade's view of a drive, however many
// connections it has and however much they ask for. Loop thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "fusefs/loop/event_loop.h"

namespace drivebay::nbd {

class LoopTurns final : private Poller {
public:
    // A group's members have Poller::share in one round; this, where nobody else waits for the round's end.
    static constexpr std::size_t share_alone = std::size_t{1} << 20;

    class Member {
    public:
        virtual ~Member() = default;
        // Moves bytes and takes requests, which cost no more than `most` together, and asks again if there are more. What they cost.
        virtual std::size_t take_turn(std::size_t most) = 0;

    private:
        friend class LoopTurns;
        Member* next_turn_ = nullptr;
        bool asked_ = false;
    };

    explicit LoopTurns(EventLoop& loop) : loop_(loop) {}
    // When nobody waits.
    ~LoopTurns() { loop_.stop_polling(*this); }
    LoopTurns(const LoopTurns&) = delete;
    LoopTurns& operator=(const LoopTurns&) = delete;

    // One turn for `member`, in this round or a later one, not from inside the call; no more than one however often it asks.
    // `group` is only compared.
    void ask(Member& member, const void* group);
    // It has no turn any more, and may be destroyed.
    void forget(Member& member);

private:
    struct Group {
        const void* key = nullptr;
        Member* first = nullptr;
        Member* last = nullptr;
    };
    bool poll() override;
    bool is_front() const override { return true; }

    EventLoop& loop_;
    std::vector<Group> groups_;  // in which somebody waits, and between two rounds no others
};

}  // namespace drivebay::nbd
