#include "lib/config/schema.h"

#include <algorithm>
#include <utility>

namespace drivebay::config {

void Schema::add(Key key) {
    std::visit([&key](auto* target) { key.standard = *target; }, key.target);
    keys_.push_back(std::move(key));
}

void Schema::text(std::string key, std::string* value, std::string doc, Check check) {
    add({std::move(key), value, std::move(doc), "", {}, {}, std::move(check), {}, false});
}

void Schema::choice(std::string key, std::string* value, std::vector<std::string> allowed, std::string doc) {
    add({std::move(key), value, std::move(doc), "", {}, std::move(allowed), {}, {}, false});
}

void Schema::integer(std::string key, std::int64_t* value, Range range, std::string unit, std::string doc) {
    add({std::move(key), value, std::move(doc), std::move(unit), range, {}, {}, {}, false});
}

void Schema::boolean(std::string key, bool* value, std::string doc) {
    add({std::move(key), value, std::move(doc), "", {}, {}, {}, {}, false});
}

void Schema::texts(std::string key, std::vector<std::string>* value, std::string doc, Check check) {
    add({std::move(key), value, std::move(doc), "", {}, {}, std::move(check), {}, false});
}

void Schema::may_change(std::initializer_list<std::string_view> keys) {
    for (Key& key : keys_) {
        key.may_change |= std::find(keys.begin(), keys.end(), key.path) != keys.end();
    }
}

}  // namespace drivebay::config
