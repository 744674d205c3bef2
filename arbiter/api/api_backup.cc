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
    if (copy_) {
        return;
    }
    auto copy = store_.copy();
    if (!copy) {
        finish(refused({503, copy.error().message}));
        return;
    }
    copy_ = std::move(*copy);
    const std::string place = nlohmann::json(store_.place()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text_ = fmt::format(R"({{"place":{},"base64":")", place);
    timer_.set(Duration::zero(), [this] { go_on(); });
}

void Backups::go_on() {
    auto piece = copy_->step();
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
        timer_.set(Duration::zero(), [this] { go_on(); });
    }
}

void Backups::finish(const rpc::Response& response) {
    copy_.reset();
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
