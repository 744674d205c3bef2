// The first byte: how the input is cut into pieces, what the server's policy for TLS is (encrypted is nothing here),
// and whether the input is options (each a type and a u16 length, then data; the magic is added) or bytes as they are.
#include <algorithm>
#include <utility>

#include "fusefs/nbd_server/nbd_handshake.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

using namespace drivebay::nbd;

namespace {

constexpr std::uint8_t as_options = 1 << 7;
constexpr unsigned tls_shift = 5;  // two bits
constexpr std::uint8_t piece_mask = 0x1f;

std::string stream_of(Reader& input, bool options) {
    if (!options) {
        return input.rest();
    }
    std::string stream;
    append<std::uint32_t>(stream, input.number<std::uint8_t>() % 8);
    while (!input.empty()) {
        append(stream, option_magic);
        append<std::uint32_t>(stream, input.number<std::uint8_t>());
        const std::size_t length = input.number<std::uint16_t>();
        const std::string data = input.text(length);
        // What is announced may not be there: then what follows is taken for it, as it would be.
        append(stream, static_cast<std::uint32_t>(length));
        stream += data;
    }
    return stream;
}

const char* const exports[] = {"a/x", "a/y"};

void answer(Handshake& handshake) {
    const Question& question = handshake.question();
    require(question.name.size() <= longest_string, "a name is longer than any may be");
    if (question.kind == Question::Kind::list) {
        return handshake.answer_list({exports[0], exports[1]});
    }
    if (std::find(std::begin(exports), std::end(exports), question.name) != std::end(exports)) {
        ExportDescription description;
        description.size = 1 << 20;
        description.flags = has_flags | send_flush;
        description.description = "drivebay boot=b epoch=7 kind=disk";
        return handshake.answer_export(description);
    }
    handshake.refuse_export(question.name.size() % 2 == 0 ? OptionReply::error_unknown : OptionReply::error_policy,
                            "there is no export " + question.name);
}

// Option replies, one behind the other; an EXPORT_NAME's answer, which has no form of its own, ends them.
void check_output(const std::string& output, bool transmission) {
    constexpr std::size_t head = 20;
    std::size_t at = 18;
    require(output.size() >= at, "there is no greeting");
    const auto* const bytes = reinterpret_cast<const std::byte*>(output.data());
    while (at < output.size()) {
        if (output.size() - at < head || get<std::uint64_t>(bytes + at) != option_reply_magic) {
            const std::size_t left = output.size() - at;
            require(transmission && (left == 10 || left == 134), "what is sent is no option reply");
            return;
        }
        const std::size_t length = get<std::uint32_t>(bytes + at + 16);
        require(length <= longest_string + 64, "an option reply is too long");
        require(output.size() - at - head >= length, "an option reply is shorter than it says");
        at += head + length;
    }
}

struct Outcome {
    Handshake::State state;
    std::string output;
    std::vector<std::byte> rest;
    bool block_status = false;
    bool operator==(const Outcome&) const = default;
};

Outcome run(const std::string& stream, std::size_t piece, TlsPolicy tls) {
    Handshake handshake(tls);
    Outcome outcome;
    bool secure = false;
    for (std::size_t at = 0; at < stream.size();) {
        require(handshake.room() <= Handshake::input_limit, "more is kept than the limit");
        const std::size_t size = std::min({piece, handshake.room(), stream.size() - at});
        if (size == 0 || handshake.state() == Handshake::State::ended) {
            break;
        }
        if (handshake.state() == Handshake::State::transmission) {
            break;
        }
        handshake.receive(reinterpret_cast<const std::byte*>(stream.data()) + at, size);
        at += size;
        if (handshake.state() == Handshake::State::securing) {
            require(tls != TlsPolicy::none && !std::exchange(secure, true), "TLS begins where it cannot");
            handshake.secured();
            require(!handshake.structured_replies(), "what was agreed on in the clear is kept");
        }
        while (handshake.state() == Handshake::State::asking) {
            require(secure || tls != TlsPolicy::required, "an export is asked for before TLS");
            answer(handshake);
        }
        outcome.output += handshake.take_output();
        require(handshake.room() > 0 || handshake.state() == Handshake::State::transmission,
                "an option waits for ever");
        if (handshake.state() == Handshake::State::transmission) {
            outcome.rest = handshake.take_rest();
            const auto* const behind = reinterpret_cast<const std::byte*>(stream.data());
            outcome.rest.insert(outcome.rest.end(), behind + at, behind + stream.size());
            outcome.block_status = handshake.block_status();
            require(!outcome.block_status || handshake.structured_replies(), "a context without structured replies");
        }
    }
    outcome.output += handshake.take_output();
    outcome.state = handshake.state();
    return outcome;
}

}  // namespace

void handshake(Bytes input) {
    Reader reader(input);
    const auto how = reader.number<std::uint8_t>();
    const std::string stream = stream_of(reader, (how & as_options) != 0);
    const unsigned tls = how >> tls_shift & 3;
    const std::size_t piece = 1 + (how & piece_mask);
    if (tls == 1 || tls == 2) {
        // In pieces only: what comes right behind STARTTLS ends the connection, so the pieces matter.
        const Outcome outcome = run(stream, piece, tls == 1 ? TlsPolicy::offered : TlsPolicy::required);
        return check_output(outcome.output, outcome.state == Handshake::State::transmission);
    }
    const Outcome whole = run(stream, Handshake::input_limit, TlsPolicy::none);
    check_output(whole.output, whole.state == Handshake::State::transmission);
    const Outcome pieces = run(stream, piece, TlsPolicy::none);
    require(whole == pieces, "a negotiation in pieces comes out differently");
}

}  // namespace drivebay::fuzz
