#include <nlohmann/json.hpp>

#include "arbiter/api/request_body.h"
#include "fusefs/nbd_client/nbd_negotiation.h"
#include "lib/base/json_text.h"
#include "lib/protocol/messages.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

namespace {

void check_message(const std::string& text, protocol::Side side) {
    const nlohmann::json json = parse_json(text);
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

}  // namespace

void control(Bytes input) {
    Reader reader(input);
    const auto what = reader.number<std::uint8_t>() % 4;
    const std::string text = reader.rest();
    switch (what) {
        case 0: return check_message(text, protocol::Side::blade);
        case 1: return check_message(text, protocol::Side::data_path);
        case 2: return check_request(text);
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
