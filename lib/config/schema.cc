#include "lib/config/schema.h"

#include <utility>

namespace drivebay::config {

void Schema::text(std::string key, std::string* value, std::string doc, Check check) {
    keys_.push_back({std::move(key), value, std::move(doc), "", {}, {}, std::move(check)});
}

void Schema::choice(std::string key, std::string* value, std::vector<std::string> allowed, std::string doc) {
    keys_.push_back({std::move(key), value, std::move(doc), "", {}, std::move(allowed), {}});
}

void Schema::integer(std::string key, std::int64_t* value, Range range, std::string unit, std::string doc) {
    keys_.push_back({std::move(key), value, std::move(doc), std::move(unit), range, {}, {}});
}

void Schema::boolean(std::string key, bool* value, std::string doc) {
    keys_.push_back({std::move(key), value, std::move(doc), "", {}, {}, {}});
}

void Schema::texts(std::string key, std::vector<std::string>* value, std::string doc, Check check) {
    keys_.push_back({std::move(key), value, std::move(doc), "", {}, {}, std::move(check)});
}

}  // namespace drivebay::config
