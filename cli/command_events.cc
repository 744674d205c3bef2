#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "cli/command.h"
#include "cli/lease_wait.h"
#include "cli/table.h"

namespace drivebay::cli {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto poll_length = 20s;
constexpr auto pause_before_retry = 1s;

struct EventsOptions {
    bool follow = false;
    std::uint64_t after = 0;
};

void print_event(const json& event, bool as_json) {
    if (as_json) {
        fmt::print("{}\n", event.dump(-1, ' ', false, json::error_handler_t::replace));
        return;
    }
    std::string line = fmt::format("{}  {}", text_of(event, "time"), text_of(event, "event"));
    for (const auto& [key, value] : event.items()) {
        const bool is_head = key == "time" || key == "event" || key == "id";
        if (is_head || value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty())) {
            continue;
        }
        line += fmt::format("  {}={}", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
    fmt::print("{}\n", printable(line));
}

Status show_events(const Invocation& invocation, const EventsOptions& options) {
    Result<Arbiter> arbiter = Arbiter::at(invocation.server);
    if (!arbiter) {
        return arbiter.error();
    }
    std::uint64_t after = options.after;
    bool is_first = true;
    bool told_of_loss = false;
    for (;;) {
        const auto wait = options.follow && !is_first ? std::chrono::milliseconds(poll_length).count() : 0;
        Result<json> answer = arbiter->get(fmt::format("/v1/events?after={}&wait_ms={}", after, wait), poll_length + 10s);
        if (!answer) {
            if (is_first || answer.error().code != unreachable) {
                return answer.error();
            }
            // Following outlives a restart of the arbiter.
            if (!told_of_loss) {
                fmt::print(stderr, "drivebay: {}; trying again\n", answer.error().message);
                told_of_loss = true;
            }
            std::this_thread::sleep_for(pause_before_retry);
            continue;
        }
        is_first = false;
        told_of_loss = false;
        for (const json& event : answer->value("events", json::array())) {
            print_event(event, invocation.json);
        }
        if (std::fflush(stdout) != 0 || !options.follow) {
            return success();
        }
        after = answer->value("last", after);
    }
}

}  // namespace

void add_events_command(CLI::App& program, Invocation& invocation) {
    auto options = std::make_shared<EventsOptions>();
    CLI::App* events = program.add_subcommand("events", "Show what happened, one line an event");
    events->fallthrough();
    events->add_flag("--follow,-f", options->follow, "Go on with what happens from now on, until ^C");
    events->add_option("--after", options->after, "Only events whose id is higher")->type_name("ID");
    events->footer("With --json one object a line. --server and --json: see drivebay --help.");
    events->callback([options, &invocation] {
        if (Status shown = show_events(invocation, *options); !shown) {
            invocation.fail(shown.error());
        }
    });
}

}  // namespace drivebay::cli
