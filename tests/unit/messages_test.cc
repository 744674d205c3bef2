#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "lib/protocol/messages.h"

namespace drivebay::protocol {
namespace {

BladeHello some_hello() {
    BladeHello hello;
    hello.blade = "blade01";
    hello.boot_id = "b";
    ObservedSlot& slot = hello.observed.slots.emplace_back();
    slot.slot = 2;
    slot.kind = DriveKind::cdrom;
    slot.state = SlotState::ejected_by_host;
    slot.last = LastMedium{"install", 6, Outcome::drained, true};
    return hello;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(messages)

BOOST_AUTO_TEST_CASE(what_is_encoded_is_read_back_the_same) {
    const auto hello = decode(encode(some_hello()), Side::blade);
    BOOST_REQUIRE(hello.ok());
    BOOST_TEST((std::get<BladeHello>(*hello).observed == some_hello().observed));

    Table table{3, 4, {{"d", "/x", DriveKind::disk, true, 2}}, {{"d", "b", Mode::write, 9}}, {{"d", "c", 8}}};
    const auto read = decode(encode(table), Side::data_path);
    BOOST_REQUIRE(read.ok());
    BOOST_TEST((std::get<Table>(*read) == table));
}

BOOST_AUTO_TEST_CASE(the_two_meanings_of_hello_and_observed_are_told_apart_by_the_link) {
    BOOST_TEST(!decode(encode(some_hello()), Side::data_path).ok());
    BOOST_TEST((std::holds_alternative<DataPathHello>(*decode(encode(DataPathHello{}), Side::data_path))));
    BOOST_TEST((std::holds_alternative<DataPathObserved>(*decode(encode(DataPathObserved{}), Side::data_path))));
    BOOST_TEST(!decode(encode(Table{}), Side::blade).ok());
}

BOOST_AUTO_TEST_CASE(a_message_that_does_not_fit_is_refused_with_the_place) {
    nlohmann::json message = encode(some_hello());
    message["observed"]["slots"][0]["last"].erase("epoch");
    const auto lacking = decode(message, Side::blade);
    BOOST_REQUIRE(!lacking.ok());
    BOOST_TEST(lacking.error().message == "hello.observed.slots[].last lacks \"epoch\"");

    for (const auto& [pointer, wrong] : std::vector<std::pair<std::string, nlohmann::json>>{
             {"/term", -1}, {"/term", 1.5}, {"/term", "3"}, {"/protocol", 5000000000}, {"/blade", nullptr},
             {"/observed/slots", 3}, {"/observed/slots/0/state", "flying"}, {"/observed/slots/0/host_locked", 1},
             {"/type", "nonsense"}, {"/type", 3}}) {
        nlohmann::json bad = encode(some_hello());
        bad[nlohmann::json::json_pointer(pointer)] = wrong;
        BOOST_TEST(!decode(bad, Side::blade).ok(), pointer);
    }
    BOOST_TEST(!decode(nlohmann::json::array(), Side::blade).ok());
}

BOOST_AUTO_TEST_CASE(a_blade_tells_more_than_a_blade_can_have) {
    const auto with = [](const std::function<void(BladeHello&)>& change) {
        BladeHello hello = some_hello();
        change(hello);
        return decode(encode(hello), Side::blade).ok() || decode(encode(hello.observed), Side::blade).ok();
    };
    const auto slots = [](int first, int count) {
        return [first, count](BladeHello& hello) {
            hello.observed.slots.clear();
            for (int number = first; number < first + count; ++number) {
                hello.observed.slots.emplace_back().slot = number;
            }
        };
    };
    const std::string word(256, 'w');
    const std::string sentence(1024, 's');
    BOOST_TEST(with(slots(0, 16)));
    BOOST_TEST(!with(slots(1, 16)));
    BOOST_TEST(!with(slots(-1, 1)));
    BOOST_TEST(!with([](BladeHello& hello) { hello.observed.slots.push_back(hello.observed.slots.front()); }));
    BOOST_TEST(with([&](BladeHello& hello) { hello.observed.udc = hello.observed.speed = word; }));
    BOOST_TEST(!with([&](BladeHello& hello) { hello.observed.udc = word + "w"; }));
    BOOST_TEST(!with([&](BladeHello& hello) { hello.observed.speed = word + "w"; }));
    BOOST_TEST(with([&](BladeHello& hello) { hello.observed.slots[0].error = sentence; }));
    BOOST_TEST(!with([&](BladeHello& hello) { hello.observed.slots[0].error = sentence + "s"; }));
    BOOST_TEST(!with([&](BladeHello& hello) { hello.observed.slots[0].drive = std::string(65, 'd'); }));
    BOOST_TEST(!with([&](BladeHello& hello) { hello.observed.slots[0].last->drive = std::string(65, 'd'); }));
    for (std::string BladeHello::*text : {&BladeHello::session, &BladeHello::boot_id}) {
        BladeHello hello = some_hello();
        hello.*text = word;
        BOOST_TEST(decode(encode(hello), Side::blade).ok());
        hello.*text += "w";
        BOOST_TEST(!decode(encode(hello), Side::blade).ok());
    }
}

BOOST_AUTO_TEST_CASE(a_refusal_repeats_a_strangers_words_at_any_length) {
    const std::string long_word(1 << 20, 'x');
    nlohmann::json message = encode(some_hello());
    message["observed"]["slots"][0]["state"] = long_word;
    BOOST_TEST(decode(message, Side::blade).error().message.size() < 400u);
    message["type"] = long_word;
    BOOST_TEST(decode(message, Side::blade).error().message.size() < 400u);
}

BOOST_AUTO_TEST_CASE(a_newer_peers_unknown_field_is_ignored) {
    nlohmann::json message = encode(Renew{7});
    message["colour"] = "blue";
    BOOST_TEST(std::get<Renew>(*decode(message, Side::blade)).seq == 7U);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace drivebay::protocol
