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
    if (!std::exchange(busy_, true)) {
        begin();
    }
}

void Backups::begin() {
    const std::string place = nlohmann::json(store_.place()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text_ = fmt::format(R"({{"place":{},"base64":")", place);
    disk_.run(
        [this] {
            piece_ = StoreCopy::Piece{};
            if (auto copy = store_.copy()) {
                copy_ = std::move(*copy);
            } else {
                piece_ = copy.error();
            }
        },
        [this] { take_piece(); });
}

void Backups::go_on() {
    disk_.run([this] { piece_ = copy_->step(); }, [this] { take_piece(); });
}

void Backups::take_piece() {
    if (!piece_) {
        finish(refused({503, piece_.error().message}));
        return;
    }
    reading_ = reading_ || !piece_->bytes.empty();
    text_ += to_base64(piece_->bytes);
    if (text_.size() > longest_text) {
        finish(refused({409, fmt::format("the store is too large for this; stop the arbiter and copy {} with its -wal",
                                         store_.place())}));
    } else if (piece_->is_last) {
        text_ += "\"}";
        log::info("a backup was taken", {{"bytes", text_.size() * 3 / 4}});
        finish({200, std::exchange(text_, {})});
    } else {
        go_on();
    }
}

void Backups::finish(const rpc::Response& response) {
    disk_.run([copy = std::shared_ptr<StoreCopy>(std::move(copy_))]() mutable { copy.reset(); });
    busy_ = false;
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
