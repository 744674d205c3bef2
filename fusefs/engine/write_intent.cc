#include "fusefs/engine/write_intent.h"

#include <utility>

namespace drivebay {

WriteIntent::WriteIntent(EventLoop& loop, std::unique_ptr<Drive> drive, std::function<bool()> unflushed, Mark mark)
    : loop_(loop), drive_(std::move(drive)), unflushed_(std::move(unflushed)), mark_(std::move(mark)) {
    flush_.operation = IoOperation::flush;
    flush_.context = this;
    flush_.done = [](IoRequest& request, int error) { static_cast<WriteIntent*>(request.context)->flushed(error); };
}

WriteIntent::~WriteIntent() {
    *alive_ = false;
    loop_.cancel(timer_);
}

void WriteIntent::submit(IoRequest& request) {
    if (!changes_drive(request.operation)) {
        return drive_->submit(request);
    }
    written_ = true;
    if (state_ == State::set) {
        return drive_->submit(request);
    }
    request.next = nullptr;
    (first_held_ == nullptr ? first_held_ : last_held_->next) = &request;
    last_held_ = &request;
    if (state_ == State::clear) {
        set_mark();
    }
}

void WriteIntent::set_mark() {
    state_ = State::setting;
    mark_(true, [this, alive = alive_](bool done) {
        if (!*alive) {
            return;
        }
        if (!done) {
            // Its writes wait with it: a pause, until the table can be written again.
            timer_ = loop_.call_after(rest, [this] { set_mark(); });
            return;
        }
        state_ = State::set;
        IoRequest* request = std::exchange(first_held_, nullptr);
        while (request != nullptr) {
            drive_->submit(*std::exchange(request, request->next));
        }
        look_for_rest();
    });
}

void WriteIntent::look_for_rest() {
    written_ = false;
    timer_ = loop_.call_after(rest, [this] {
        timer_ = 0;
        if (written_ || !drive_->failure().empty()) {
            return look_for_rest();
        }
        flush_and_clear();
    });
}

void WriteIntent::flush_and_clear() {
    flushing_ = true;
    drive_->submit(flush_);
}

void WriteIntent::flushed(int error) {
    flushing_ = false;
    if (error != 0 || unflushed_()) {
        return closed_ ? close_drive() : look_for_rest();
    }
    state_ = State::clearing;
    mark_(false, [this, alive = alive_](bool done) {
        if (!*alive) {
            return;
        }
        state_ = done ? State::clear : State::set;
        if (closed_) {
            close_drive();
        } else if (first_held_ != nullptr) {
            set_mark();
        } else if (!done) {
            look_for_rest();
        }
    });
}

void WriteIntent::close(std::function<void()> closed) {
    closed_ = std::move(closed);
    loop_.cancel(std::exchange(timer_, 0));
    if (state_ == State::set && !flushing_) {
        flush_and_clear();
    } else if (state_ == State::clear) {
        close_drive();
    }  // Otherwise the flush or the mark that is under way comes back here.
}

void WriteIntent::close_drive() {
    drive_->close(std::exchange(closed_, nullptr));
}

}  // namespace drivebay
