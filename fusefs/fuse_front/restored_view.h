// The view of a file that was open when the server before this one died: asked for again from the catalogue, as long as
// it takes. Its file's requests wait for it no longer than the pause limit, counted from when the first of them was
// asked (IoRequest::asked_at, which all of them bear), and fail with EIO after that, until it is there. Loop thread
// only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/view.h"
#include "fusefs/loop/event_loop.h"

namespace drivebay {

class RestoredView final : public View, public std::enable_shared_from_this<RestoredView> {
public:
    struct Wish {
        std::string blade;  // as Catalogue::open() takes it
        DriveReference name;  // with its epoch
        Mode mode = Mode::read;
        ViewInfo info;  // as known before; in force until the view is there
        Duration pause_limit{};
    };

    // Asks the catalogue at once; `catalogue` outlives it.
    static std::shared_ptr<RestoredView> create(EventLoop& loop, Catalogue& catalogue, Wish wish);
    ~RestoredView() override;

    const ViewInfo& info() const override { return view_ ? view_->info() : wish_.info; }
    void submit(IoRequest& request) override;
    bool ended() const override { return view_ ? view_->ended() : ended_; }
    std::uint64_t on_end(std::function<void()> callback) override;
    void forget(std::uint64_t callback_id) override;

private:
    RestoredView(EventLoop& loop, Catalogue& catalogue, Wish wish);
    void open();
    void opened(Result<std::shared_ptr<View>> view);
    void end();
    void call_ends();
    void limit_waiting(Instant asked);
    void refuse_waiting(int error);
    void refuse_later(IoRequest& request, int error);

    EventLoop& loop_;
    Catalogue& catalogue_;
    const Wish wish_;
    std::shared_ptr<void> hold_;
    std::shared_ptr<View> view_;
    std::vector<IoRequest*> waiting_;
    std::map<std::uint64_t, std::function<void()>> on_end_;
    std::uint64_t last_callback_ = 0;
    EventLoop::TimerId retry_timer_ = 0;
    EventLoop::TimerId pause_timer_ = 0;
    bool paused_too_long_ = false;
    bool ended_ = false;
};

}  // namespace drivebay
