#include <fmt/format.h>

#include <utility>

#include "arbiter/api/backups.h"
#include "arbiter/api/respond.h"
#include "lib/base/base64.h"
#include "lib/base/log.h"

namespace drivebay::arbiter {

void Backups::take(const rpc::Reply& reply) {
    if (reading_) {
        asked_late_.push_back(reply);
        return;
    }
    asked_.push_back(reply);
    if (!work_) {
        begin();
    }
}

void Backups::begin() {
    work_ = std::make_shared<Work>();
    const std::string place =
        nlohmann::json(store_.place()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text_ = fmt::format(R"({{"place":{},"base64":")", place);
    run([](Store& store, Work& work) {
        if (auto copy = store.copy()) {
            work.copy = std::move(*copy);
        } else {
            work.piece = copy.error();
        }
    });
}

void Backups::run(void (*job)(Store& store, Work& work)) {
    disk_.run([&store = store_, work = work_, job] { job(store, *work); },
              [this, here = std::weak_ptr(here_)] {
                  if (!here.expired()) {
                      go_on(work_->piece);
                  }
              });
}

void Backups::go_on(const Result<StoreCopy::Piece>& piece) {
    if (!piece) {
        finish(refused({503, piece.error().message}));
        return;
    }
    reading_ = reading_ || !piece->bytes.empty();
    text_ += to_base64(piece->bytes);
    if (text_.size() > longest_text) {
        finish(refused({409, fmt::format("the store is too large for this; stop the arbiter and copy {} with its -wal",
                                         store_.place())}));
    } else if (piece->is_last) {
        text_ += "\"}";
        log::info("a backup was taken", {{"bytes", text_.size() * 3 / 4}});
        finish({200, std::exchange(text_, {})});
    } else {
        run([](Store&, Work& work) { work.piece = work.copy->step(); });
    }
}

void Backups::finish(const rpc::Response& response) {
    // Its end is the disk's business too. Whoever asked late gets the next copy, which is begun after that.
    disk_.run([work = std::exchange(work_, nullptr)] { work->copy.reset(); });
    reading_ = false;
    text_ = {};
    for (const rpc::Reply& reply : std::exchange(asked_, {})) {
        reply(response);
    }
    for (const rpc::Reply& reply : std::exchange(asked_late_, {})) {
        take(reply);
    }
}

}  // namespace drivebay::arbiter
