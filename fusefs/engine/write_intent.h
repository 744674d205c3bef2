// A write-intent mark before a remote drive. Nobody can know what a stranger's server still does with the writes of a
// program that was killed, and nothing in NBD makes it wait for them: they may land after those of the next epoch. So
// it is durable that writes are on their way before the first of them leaves, until all of them are answered and
// flushed. Who finds the mark when it opens the drive knows that its predecessor left some behind.
//
// While the mark is there a write costs nothing more; the first after a rest waits for one commit. Loop thread only.
#pragma once

#include <functional>
#include <memory>

#include "fusefs/engine/drive.h"
#include "fusefs/loop/event_loop.h"
#include "lib/base/clock.h"

namespace drivebay {

class WriteIntent final : public Drive {
public:
    // Sets or clears the mark; `done` comes on the loop's thread, never from inside the call, with false if it could
    // not be made durable.
    using Mark = std::function<void(bool set, std::function<void(bool done)> done)>;
    // `unflushed`: whether `drive` has writes that are unanswered, or answered and not covered by a flush.
    WriteIntent(EventLoop& loop, std::unique_ptr<Drive> drive, std::function<bool()> unflushed, Mark mark);
    ~WriteIntent() override;

    DriveGeometry geometry() const override { return drive_->geometry(); }
    void submit(IoRequest& request) override;
    // Flushes and clears the mark, if there is one; it stays if either fails.
    void close(std::function<void()> closed) override;
    std::string failure() const override { return drive_->failure(); }

    // This long without a write, and what was written is flushed and the mark cleared.
    static constexpr Duration rest = std::chrono::seconds(1);

private:
    enum class State { clear, setting, set, clearing };

    void set_mark();
    void look_for_rest();
    void flush_and_clear();
    void flushed(int error);
    void close_drive();

    EventLoop& loop_;
    const std::unique_ptr<Drive> drive_;
    const std::function<bool()> unflushed_;
    const Mark mark_;
    State state_ = State::clear;
    bool written_ = false;  // since the last look
    IoRequest flush_;       // its own
    bool flushing_ = false;
    IoRequest* first_held_ = nullptr;  // until the mark is set
    IoRequest* last_held_ = nullptr;
    EventLoop::TimerId timer_ = 0;
    std::function<void()> closed_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace drivebay
