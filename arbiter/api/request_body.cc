#include "arbiter/api/request_body.h"

#include <fmt/format.h>

#include <cerrno>

#include "lib/base/json_text.h"

namespace drivebay::arbiter {

Result<RequestBody> RequestBody::parse(const std::string& text) {
    auto json = parse_json(text.empty() ? "{}" : text);
    if (!json.is_object()) {
        return Error{EINVAL, "the request's body is no JSON object"};
    }
    return RequestBody(std::move(json));
}

void RequestBody::mistake(const std::string& sentence) {
    if (!error_) {
        error_ = Error{EINVAL, sentence};
    }
}

const nlohmann::json* RequestBody::find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
}

std::string RequestBody::text(const char* key) {
    if (!find(key)) {
        mistake(fmt::format("\"{}\" is missing from the request", key));
        return {};
    }
    return text_or(key, {});
}

std::string RequestBody::text_or(const char* key, const std::string& otherwise) {
    const auto* value = find(key);
    if (!value) {
        return otherwise;
    }
    if (!value->is_string()) {
        mistake(fmt::format("\"{}\" must be a text", key));
        return otherwise;
    }
    return value->get<std::string>();
}

bool RequestBody::flag_or(const char* key, bool otherwise) {
    const auto* value = find(key);
    if (!value) {
        return otherwise;
    }
    if (!value->is_boolean()) {
        mistake(fmt::format("\"{}\" must be true or false", key));
        return otherwise;
    }
    return value->get<bool>();
}

std::optional<std::int64_t> RequestBody::number(const char* key) {
    const auto* value = find(key);
    if (!value) {
        return std::nullopt;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > 1000000000) {
        mistake(fmt::format("\"{}\" must be a whole number from 0 to 1000000000", key));
        return std::nullopt;
    }
    return value->get<std::int64_t>();
}

std::vector<std::string> RequestBody::names_or_all(const char* key, bool& all) {
    std::vector<std::string> names;
    const auto* value = find(key);
    all = value && value->is_string() && value->get<std::string>() == "all";
    if (all) {
        return names;
    }
    if (!value || !value->is_array() || value->empty()) {
        mistake(fmt::format("\"{}\" must be \"all\" or a list of at least one name", key));
        return names;
    }
    for (const auto& name : *value) {
        if (!name.is_string()) {
            mistake(fmt::format("\"{}\" must hold texts only", key));
            return names;
        }
        names.push_back(name.get<std::string>());
    }
    return names;
}

}  // namespace drivebay::arbiter
