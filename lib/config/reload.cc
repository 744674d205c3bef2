#include "lib/config/schema.h"
#include "lib/config/written.h"

namespace drivebay::config {
namespace {

Schema::Value value_of(const Schema::Key& key) {
    return std::visit([](const auto* target) { return Schema::Value(*target); }, key.target);
}

void set(const Schema::Key& key, const Schema::Value& value) {
    std::visit([&value](auto* target) { *target = std::get<std::remove_reference_t<decltype(*target)>>(value); }, key.target);
}

}  // namespace

Schema::Reloaded Schema::reload(const std::string& path, const std::function<Status()>& check) {
    Reloaded outcome;
    std::vector<Value> before;
    for (const Key& key : keys_) {
        before.push_back(value_of(key));
        set(key, key.standard);
    }
    outcome.mistakes = load_all(path);
    if (outcome.mistakes.empty() && check) {
        // It may fill in what was left empty, so what changed is seen behind it.
        if (const Status good = check(); !good) {
            outcome.mistakes.push_back(path + ": " + good.error().message);
        }
    }
    for (std::size_t i = 0; i < keys_.size(); ++i) {
        const Key& key = keys_[i];
        const Value after = value_of(key);
        if (!outcome.mistakes.empty()) {
            set(key, before[i]);
        } else if (after != before[i]) {
            outcome.changes.push_back({key.path, written(before[i]), written(after), key.may_change});
            if (!key.may_change) {
                set(key, before[i]);
            }
        }
    }
    return outcome;
}

}  // namespace drivebay::config
