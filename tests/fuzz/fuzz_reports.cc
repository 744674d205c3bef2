#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "arbiter/core/lease_core.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/stored_findings.h"

namespace drivebay::fuzz {

namespace {

using namespace arbiter;

// Around every boundary that there is; a fuzzer would be long in finding these.
constexpr std::array<std::int64_t, 8> slots = {
    -1, 0, 1, 15, 16, 17, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()};
constexpr std::array<std::size_t, 9> lengths = {0, 1, 64, 65, 256, 257, 1024, 1025, 70000};

Term some_term(Reader& input, Term own) {
    const std::array<Term, 8> terms = {
        0, own, own + 1, own + highest_leap - 1, own + highest_leap, (Term{1} << 40) - 1, std::numeric_limits<Term>::max(), own + 1000};
    const auto which = input.number<std::uint8_t>();
    return which < 200 ? terms.at(which % terms.size()) : input.number<Term>();
}

std::string some_text(Reader& input) {
    const auto which = input.number<std::uint8_t>();
    return which < 128 ? std::string(1, static_cast<char>('a' + which % 4)) : std::string(lengths.at(which % lengths.size()), 'x');
}

protocol::BladeObserved some_report(Reader& input) {
    protocol::BladeObserved observed;
    observed.version = input.number<std::uint64_t>();
    observed.udc = some_text(input);
    for (int count = input.number<std::uint8_t>() % 20; count > 0 && !input.empty(); --count) {
        protocol::ObservedSlot& one = observed.slots.emplace_back();
        const auto number = input.number<std::uint8_t>();
        one.slot = static_cast<int>(number < 160 ? number % 16 : slots.at(number % slots.size()));
        one.kind = static_cast<DriveKind>(number % 2);
        one.state = static_cast<protocol::SlotState>(input.number<std::uint8_t>() % 5);
        one.drive = some_text(input);
        one.epoch = input.number<std::uint8_t>();
        one.error = some_text(input);
        if (number % 3 == 0) {
            one.last = protocol::LastMedium{some_text(input), input.number<std::uint8_t>(),
                                            static_cast<protocol::Outcome>(input.number<std::uint8_t>() % 3), number % 2 == 0, number};
        }
    }
    return observed;
}

protocol::BladeHello some_hello(Reader& input, Term own) {
    protocol::BladeHello hello;
    hello.blade = input.number<std::uint8_t>() % 2 == 0 ? "a" : "b";
    hello.session = some_text(input);
    hello.boot_id = some_text(input);
    hello.term = some_term(input, own);
    hello.observed = some_report(input);
    return hello;
}

// As it is after its journey; nothing: it is not taken.
std::optional<protocol::Message> sent(const protocol::Message& message) {
    const Result<protocol::Message> arrived = protocol::decode(protocol::encode(message), protocol::Side::blade);
    require(arrived.ok() || !arrived.error().message.empty(), "a message is refused without a sentence");
    return arrived ? std::optional(*arrived) : std::nullopt;
}

State begin(Instant now) {
    State state;
    state.term = 1;
    step(state, {now, Started{}});
    for (const char* name : {"a", "b"}) {
        step(state, {now, AddBlade{name}});
    }
    Drive drive;
    drive.name = "a";
    drive.source = "/a";
    drive.size = 1 << 20;
    step(state, {now, AddDrive{drive}});
    return state;
}

std::optional<Happening> anything(Reader& input, const State& state) {
    const auto what = input.number<std::uint8_t>();
    switch (what % 6) {
        case 0: {
            const auto hello = sent(some_hello(input, state.term));
            return hello ? std::optional<Happening>(BladeArrived{std::get<protocol::BladeHello>(*hello), "fresh"}) : std::nullopt;
        }
        case 1: {
            const auto report = sent(some_report(input));
            return report ? std::optional<Happening>(BladeReported{"a", std::get<protocol::BladeObserved>(*report)}) : std::nullopt;
        }
        case 2: return DataPathArrived{};
        case 3: return DataPathLeft{};
        case 4: {
            Present present;
            present.drive = "a";
            present.blades = {what & 64 ? "a" : "b"};
            present.access = what & 32 ? Mode::write : Mode::read;
            return present;
        }
        default: return Tick{};
    }
}

}  // namespace

void reports(Bytes bytes) {
    Reader input(bytes);
    Instant now{std::chrono::hours(1)};
    State state = begin(now);
    for (int steps = 0; steps < 64 && !input.empty(); ++steps) {
        now += std::chrono::milliseconds(input.number<std::uint8_t>() * 100);
        if (const auto what = anything(input, state)) {
            const Actions actions = step(state, {now, *what});
            require(!actions.refusal || !actions.changes.term, "a hello is refused and heeded");
        }
        State next = state;
        ++next.term;
        if (const auto findings = stored_findings(next); !findings.empty()) {
            throw std::logic_error("a blade makes the store one that the arbiter does not start from: " + findings.front());
        }
        for (const auto& [name, blade] : state.blades) {
            require(blade.slots.size() <= 16, "a blade has more slots than a blade can have");
        }
    }
}

}  // namespace drivebay::fuzz
