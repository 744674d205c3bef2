#include "fusefs/blade/write_coalescing.h"

#include <algorithm>
#include <cstring>

namespace drivebay {

void WriteCoalescing::take(IoRequest& write) {
    const bool is_part = write.operation == IoOperation::write && write.length <= largest_part;
    if (held_ != nullptr && is_part && join(*held_, write)) {
        if (held_->request.length >= most()) {
            send_held();
        }
        return;
    }
    send_held();
    Run& run = begin(write);
    if (is_part && last_ != nullptr && last_->end() == write.offset) {
        held_ = &run;
    } else {
        send(run);
    }
}

void WriteCoalescing::send_before(const IoRequest& request) {
    if (held_ != nullptr &&
        (request.operation == IoOperation::flush ||
         (request.offset < held_->end() && held_->request.offset < request.offset + request.length))) {
        send_held();
    }
}

// Its answer is the only sign of life where the drive, and not the link, is slow: it comes in half of what is a stall
// (PauseLimit).
std::uint32_t WriteCoalescing::most() const {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(rate_() / 4, largest));
}

WriteCoalescing::Run& WriteCoalescing::begin(IoRequest& write) {
    Run& run = runs_.emplace_back();
    run.self = std::prev(runs_.end());
    run.owner = this;
    run.request = {};
    run.request.operation = write.operation;
    run.request.may_trim = write.may_trim;
    run.request.answered_early = true;
    run.request.offset = write.offset;
    run.request.length = write.length;
    run.request.data = write.data;
    run.request.context = &run;
    run.request.done = [](IoRequest& request, int error) {
        Run& finished = *static_cast<Run*>(request.context);
        finished.owner->done(finished, error);
    };
    run.parts.push_back(&write);
    return run;
}

bool WriteCoalescing::join(Run& run, IoRequest& write) {
    if (write.offset != run.end() || run.request.length + write.length > most()) {
        return false;
    }
    if (!run.buffer) {
        run.buffer = buffers_.take(largest);
        if (!run.buffer) {
            return false;
        }
        std::memcpy(run.buffer.data(), run.request.data, run.request.length);
        run.request.data = run.buffer.data();
    }
    std::memcpy(run.request.data + run.request.length, write.data, write.length);
    run.request.length += write.length;
    run.parts.push_back(&write);
    return true;
}

void WriteCoalescing::send_held() {
    if (held_ != nullptr) {
        send(*std::exchange(held_, nullptr));
    }
}

void WriteCoalescing::send(Run& run) {
    last_ = &run;
    submit_(run.request);
}

void WriteCoalescing::done(Run& run, int error) {
    const std::vector<IoRequest*> parts = std::move(run.parts);
    const bool was_last = &run == last_;
    runs_.erase(run.self);
    if (was_last) {
        last_ = nullptr;
        send_held();
    }
    for (IoRequest* const part : parts) {
        part->done(*part, error);
    }
}

}  // namespace drivebay
