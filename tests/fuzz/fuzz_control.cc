#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "arbiter/api/request_body.h"
#include "fusefs/nbd_client/nbd_negotiation.h"
#include "lib/base/fd.h"
#include "lib/config/schema.h"
#include "lib/protocol/messages.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

namespace {

void check_message(const std::string& text, protocol::Side side) {
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    const Result<protocol::Message> message = protocol::decode(json, side);
    if (!message) {
        require(!message.error().message.empty(), "a message is refused without a sentence");
        return;
    }
    const nlohmann::json encoded = protocol::encode(*message);
    const Result<protocol::Message> again = protocol::decode(encoded, side);
    require(again.ok() && protocol::encode(*again) == encoded, "a message is not what it was when it is sent on");
}

void check_request(const std::string& text) {
    Result<arbiter::RequestBody> body = arbiter::RequestBody::parse(text);
    if (!body) {
        return;
    }
    bool all = false;
    (void)body->text("drive");
    (void)body->text_or("access", "read");
    (void)body->flag_or("read_only", false);
    const std::vector<std::string> blades = body->names_or_all("blades", all);
    require(!all || blades.empty(), "all blades and some");
    const std::optional<std::int64_t> number = body->number("lease");
    require(!number || body->error() || *number >= 0, "a number below 0 is taken");
}

// Without @include, which reads other files.
void check_configuration(const std::string& text) {
    if (text.find("include") != std::string::npos) {
        return;
    }
    const UniqueFd file(memfd_create("configuration", MFD_CLOEXEC));
    require(file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "no memory");
    std::string name = "unset";
    std::vector<std::string> listen = {"unset"};
    std::int64_t milliseconds = 5;
    bool flag = true;
    config::Schema schema("fuzzer");
    schema.text("name", &name, "a text");
    schema.texts("nbd.listen", &listen, "some texts");
    schema.integer("lease.ttl_ms", &milliseconds, {1, 10}, "ms", "a number");
    schema.boolean("flag", &flag, "a flag");
    const std::vector<std::string> mistakes = schema.load("/proc/self/fd/" + std::to_string(file.get()));
    require(milliseconds >= 1 && milliseconds <= 10, "a number outside its bounds is taken");
    const bool unset = name == "unset" && listen.size() == 1 && listen[0] == "unset" && milliseconds == 5 && flag;
    require(mistakes.empty() || unset, "a file with a mistake changes something");
}

}  // namespace

void control(Bytes input) {
    Reader reader(input);
    const auto what = reader.number<std::uint8_t>() % 5;
    const std::string text = reader.rest();
    switch (what) {
        case 0: return check_message(text, protocol::Side::blade);
        case 1: return check_message(text, protocol::Side::data_path);
        case 2: return check_request(text);
        case 3: return check_configuration(text);
        default: {
            NbdExport found;
            read_description(text, found);
            require(found.boot_id.size() <= text.size(), "a boot id is longer than the text");
            (void)check_nbd_uri(text);
            (void)with_export_suffix(text, "#1");
        }
    }
}

}  // namespace drivebay::fuzz
