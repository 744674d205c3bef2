// A request's JSON body, read strictly: what is missing or of the wrong kind is refused by name.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::arbiter {

class RequestBody {
public:
    static Result<RequestBody> parse(const std::string& text);

    // Each keeps its first mistake for error(); the values after a mistake mean nothing.
    std::string text(const char* key);
    std::string text_or(const char* key, const std::string& otherwise);
    bool flag_or(const char* key, bool otherwise);
    // A whole number from 0 on; null and absence are nothing.
    std::optional<std::int64_t> number(const char* key);
    // An array of texts, or the text "all": then `all` is set.
    std::vector<std::string> names_or_all(const char* key, bool& all);

    const std::optional<Error>& error() const { return error_; }

private:
    explicit RequestBody(nlohmann::json json) : json_(std::move(json)) {}
    void mistake(const std::string& sentence);
    const nlohmann::json* find(const char* key) const;

    nlohmann::json json_;
    std::optional<Error> error_;
};

}  // namespace drivebay::arbiter
