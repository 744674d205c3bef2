#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cli/command.h"
#include "lib/base/log.h"

namespace drivebay::cli {

void Invocation::fail(const Error& error) {
    fmt::print(stderr, "drivebay: {}\n", error.message);
    exit_status = error.code;
}

void Invocation::print_json(const nlohmann::json& value) {
    fmt::print("{}\n", value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::function<std::string(const std::string& value)> one_of(std::vector<std::string> words) {
    return [words = std::move(words)](const std::string& value) -> std::string {
        if (std::find(words.begin(), words.end(), value) != words.end()) {
            return "";
        }
        return fmt::format("{} is none of {}", log::quoted(value), fmt::join(words, ", "));
    };
}

}  // namespace drivebay::cli
