#include "fusefs/fuse_front/restored_view.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr Duration retry_delay = std::chrono::milliseconds(250);

}  // namespace

RestoredView::RestoredView(EventLoop& loop, Catalogue& catalogue, Wish wish)
    : loop_(loop), catalogue_(catalogue), wish_(std::move(wish)), hold_(catalogue.hold(wish_.blade, wish_.name)) {}

RestoredView::~RestoredView() {
    loop_.cancel(retry_timer_);
    loop_.cancel(pause_timer_);
}

std::shared_ptr<RestoredView> RestoredView::create(EventLoop& loop, Catalogue& catalogue, Wish wish) {
    const std::shared_ptr<RestoredView> view(new RestoredView(loop, catalogue, std::move(wish)));
    view->open();
    return view;
}

void RestoredView::open() {
    catalogue_.open(wish_.blade, wish_.name, wish_.mode,
                    [weak = weak_from_this()](Result<std::shared_ptr<View>> view) {
                        if (const auto self = weak.lock()) {
                            self->opened(std::move(view));
                        }
                    });
}

void RestoredView::opened(Result<std::shared_ptr<View>> view) {
    if (!view && (view.error().code == EIO || view.error().code == EHOSTUNREACH)) {
        retry_timer_ = loop_.call_after(retry_delay, [this] {
            retry_timer_ = 0;
            open();
        });
        return;
    }
    loop_.cancel(std::exchange(pause_timer_, 0));
    if (!view) {
        log::notice("the epoch of an open file ended while nobody served it",
                    {{"drive", wish_.name.drive}, {"epoch", wish_.name.epoch}, {"error", view.error().message}});
        return end();
    }
    view_ = std::move(*view);
    hold_.reset();
    view_->on_end([weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->call_ends();
        }
    });
    for (IoRequest* const request : std::exchange(waiting_, {})) {
        view_->submit(*request);
    }
}

void RestoredView::end() {
    ended_ = true;
    const auto lost = std::ranges::count_if(waiting_, [](const IoRequest* one) { return one->answered_early; });
    if (lost > 0) {
        log::error("answered writes are lost: their epoch ended before they were sent",
                   {{"drive", wish_.name.drive}, {"epoch", wish_.name.epoch}, {"writes", lost}});
    }
    hold_.reset();
    refuse_waiting(ESHUTDOWN);
    call_ends();
}

void RestoredView::call_ends() {
    for (const auto& [id, callback] : std::exchange(on_end_, {})) {
        callback();
    }
}

// What was answered already stays: it is to reach the drive whenever that is there again.
void RestoredView::refuse_waiting(int error) {
    std::vector<IoRequest*> stay;
    for (IoRequest* const request : std::exchange(waiting_, {})) {
        if (request->answered_early && !ended_) {
            stay.push_back(request);
        } else {
            refuse_later(*request, error);
        }
    }
    waiting_ = std::move(stay);
}

void RestoredView::refuse_later(IoRequest& request, int error) {
    loop_.at_round_end([&request, error] { request.done(request, error); });
}

// From the first that somebody waits for: a server before this one may have received it, and all after it came later.
void RestoredView::limit_waiting(Instant asked) {
    if (pause_timer_ == 0) {
        pause_timer_ = loop_.call_at(asked + wish_.pause_limit, [this] {
            pause_timer_ = 0;
            paused_too_long_ = true;
            refuse_waiting(EIO);
        });
    }
}

void RestoredView::submit(IoRequest& request) {
    if (view_) {
        return view_->submit(request);
    }
    if (ended_) {
        return refuse_later(request, ESHUTDOWN);
    }
    if (paused_too_long_ && !request.answered_early) {
        return refuse_later(request, EIO);
    }
    waiting_.push_back(&request);
    if (!request.answered_early) {
        limit_waiting(request.asked_at);
    }
}

std::uint64_t RestoredView::on_end(std::function<void()> callback) {
    on_end_.emplace(++last_callback_, std::move(callback));
    return last_callback_;
}

void RestoredView::forget(std::uint64_t callback_id) { on_end_.erase(callback_id); }

}  // namespace drivebay
