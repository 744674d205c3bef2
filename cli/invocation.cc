#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"

namespace drivebay::cli {

void Invocation::fail(const Error& error) {
    fmt::print(stderr, "drivebay: {}\n", error.message);
    exit_status = error.code;
}

void Invocation::print_json(const nlohmann::json& value) {
    fmt::print("{}\n", value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace drivebay::cli
