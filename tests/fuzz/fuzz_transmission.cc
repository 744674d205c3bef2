// A client that has negotiated properly (the first byte says what), then asks for whatever the input says, and hangs
// up. Each request is 15 bytes of input: what is odd about it, its type, flags, length, offset; its cookie is its
// number. The loop is stepped from here, in this thread.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "fusefs/nbd_server/nbd_listener.h"
#include "fusefs/nbd_server/nbd_reply.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/memory_export.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay::fuzz {

using namespace drivebay::nbd;

namespace {

constexpr std::size_t drive_size = 128 << 10;
constexpr std::size_t most_requests = 64;
constexpr std::size_t most_payload = 64 << 10;  // that is really sent
constexpr int patience = 1000;                  // steps of the loop without anything happening

// The first byte.
constexpr std::uint8_t without_structured = 1 << 0;
constexpr std::uint8_t without_context = 1 << 1;
constexpr std::uint8_t reads_only = 1 << 2;
constexpr std::uint8_t holds = 1 << 3;  // the drive completes nothing before the client has gone
constexpr std::uint8_t fails = 1 << 4;  // the drive
constexpr std::uint8_t ends = 1 << 5;   // the epoch, in the middle
constexpr std::uint8_t trickles = 1 << 6;
constexpr std::uint8_t overtaken = 1 << 7;  // by a client of the next instance, in the middle
// A request's first byte.
constexpr std::uint8_t wrong_magic = 1 << 7;
constexpr std::uint8_t cut_payload = 1 << 6;
constexpr std::uint8_t inside = 1 << 5;  // offset and length are brought inside the drive

struct Expected {
    RequestHeader header;
    bool whole = true;  // with its payload; else it is answered at once if it is refused, and never if not
    bool answered = false;
};

struct Session {
    TemporaryFolder folder;
    EventLoop loop;
    BufferPool buffers;
    MemoryDrive drive{loop, drive_size};
    OneView catalogue;
    NbdListener listener{loop, buffers, catalogue, {}};
    std::string path = folder.path() + "/s";
    UniqueFd client;
    std::string received;
    UniqueFd rival;
    std::string heard_by_rival;
    std::size_t sent = 0;  // of the stream
    std::map<std::uint64_t, Expected> expected;

    explicit Session(Mode mode) : catalogue(loop, drive, mode) {
        rpc::Endpoint endpoint;
        endpoint.path = path;
        require(listener.listen(endpoint).ok(), "nobody listens");
        client = connected();
    }

    UniqueFd connected() const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        UniqueFd made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        require(connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "no connection");
        return made;
    }

    ~Session() {
        drive.hold(false);
        client.reset();
        rival.reset();
        bool stopped = false;
        listener.stop([&stopped] { stopped = true; });
        for (int step_number = 0; !stopped && step_number < patience; ++step_number) {
            step();
        }
    }

    // One round of the loop, or two; true: something came from the server.
    bool step() {
        loop.post([this] { loop.stop(); });
        loop.run();
        char piece[65536];
        ssize_t got = 0;
        bool any = false;
        while (client && (got = recv(client.get(), piece, sizeof piece, 0)) > 0) {
            received.append(piece, static_cast<std::size_t>(got));
            any = true;
        }
        while (rival && (got = recv(rival.get(), piece, sizeof piece, 0)) > 0) {
            heard_by_rival.append(piece, static_cast<std::size_t>(got));
        }
        return any;
    }

    void settle() {
        for (int quiet = 0; quiet < 6; ++quiet) {
            quiet = step() ? 0 : quiet;
        }
    }

    // False: the server does not take it, and would not later.
    bool say(const std::string& stream, std::size_t piece) {
        int quiet = 0;
        std::size_t at = 0;
        while (at < stream.size() && quiet < 50) {
            const ssize_t put =
                send(client.get(), stream.data() + at, std::min(piece, stream.size() - at), MSG_NOSIGNAL);
            at += put > 0 ? static_cast<std::size_t>(put) : 0;
            quiet = put > 0 ? 0 : quiet + 1;
            if (put <= 0 || piece < stream.size()) {
                step();
            }
        }
        return at == stream.size();
    }
};

std::string option(Option type, const std::string& data) {
    std::string out;
    append(out, option_magic);
    append(out, static_cast<std::uint32_t>(type));
    append(out, static_cast<std::uint32_t>(data.size()));
    return out + data;
}

std::string text(const std::string& value) {
    std::string out;
    append(out, static_cast<std::uint32_t>(value.size()));
    return out + value;
}

// Up to GO.
std::string hello_of(std::uint8_t how, const std::string& name) {
    std::string hello;
    append(hello, client_fixed_newstyle | client_no_zeroes);
    hello += (how & without_structured) != 0 ? "" : option(Option::structured_reply, "");
    std::string one;
    append<std::uint32_t>(one, 1);
    hello += (how & without_context) != 0
                 ? ""
                 : option(Option::set_meta_context, text(name) + one + text(std::string(base_allocation)));
    return hello + option(Option::go, text(name) + std::string(2, '\0'));
}

// The last of the option replies.
std::string ack_to_go() {
    std::string last;
    append(last, option_reply_magic);
    append(last, static_cast<std::uint32_t>(Option::go));
    append(last, static_cast<std::uint32_t>(OptionReply::ack));
    return last;
}

void negotiate(Session& session, std::uint8_t how) {
    const std::string hello = hello_of(how, "blade01/x@7#1");
    const std::string last = ack_to_go();
    require(session.say(hello, hello.size()), "the negotiation is not taken");
    for (int step = 0; session.received.find(last) == std::string::npos; ++step) {
        require(step < patience, "the negotiation does not end");
        session.step();
    }
    session.received.erase(0, session.received.find(last) + last.size() + 4);
}

// The next instance is not let in before all of the first one's is done.
void overtake(Session& session) {
    const std::string hello = hello_of(0, "blade01/x@7#2");
    session.rival = session.connected();
    require(send(session.rival.get(), hello.data(), hello.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(hello.size()),
            "the rival's negotiation is not taken");
    for (int step = 0; step < 12; ++step) {
        session.step();
        require(session.drive.in_flight() == 0 || session.heard_by_rival.find(ack_to_go()) == std::string::npos,
                "an instance is let in beside the I/O of the one before");
    }
}

// What the input says, as bytes for the wire; false: nothing behind it is a request any more.
bool add_request(Reader& input, Session& session, std::string& stream) {
    const auto odd = input.number<std::uint8_t>();
    Expected next;
    next.header.magic = (odd & wrong_magic) != 0 ? 0x25609514 : request_magic;
    next.header.type = input.number<std::uint8_t>() % 10;
    next.header.flags = input.number<std::uint8_t>();
    next.header.length = input.number<std::uint32_t>();
    next.header.offset = input.number<std::uint64_t>();
    next.header.cookie = session.expected.size() + 1;
    if ((odd & inside) != 0) {
        next.header.flags &= command_fua | command_request_one;
        next.header.offset %= drive_size;
        next.header.length %= static_cast<std::uint32_t>(drive_size - next.header.offset + 1);
    }
    append(stream, next.header.magic);
    append(stream, next.header.flags);
    append(stream, next.header.type);
    append(stream, next.header.cookie);
    append(stream, next.header.offset);
    append(stream, next.header.length);
    const auto command = static_cast<Command>(next.header.type);
    if (next.header.magic != request_magic || command == Command::disconnect ||
        (command == Command::write && next.header.length > largest_payload)) {
        return false;
    }
    bool whole = true;
    if (command == Command::write) {
        const std::size_t there = std::min<std::size_t>(next.header.length, most_payload);
        whole = there == next.header.length && (odd & cut_payload) == 0;
        stream.append(whole ? there : there / 2, static_cast<char>('a' + odd % 16));
    }
    next.whole = whole;
    session.expected[next.header.cookie] = next;
    return whole;
}

// One reply at the front of `heard`; its size, or nothing if it is not all there.
std::optional<std::size_t> check_reply(Session& session, const std::string& heard, bool structured) {
    const auto* const bytes = reinterpret_cast<const std::byte*>(heard.data());
    if (heard.size() < 4) {
        return std::nullopt;
    }
    const bool chunk = get<std::uint32_t>(bytes) == structured_reply_magic;
    require(chunk || get<std::uint32_t>(bytes) == simple_reply_magic, "what is sent is no reply");
    require(!chunk || structured, "a chunk although nobody asked for any");
    const std::size_t head = chunk ? chunk_header_size : simple_reply_size;
    if (heard.size() < head) {
        return std::nullopt;
    }
    const auto found = session.expected.find(get<std::uint64_t>(bytes + 8));
    require(found != session.expected.end() && !found->second.answered, "a reply that nobody asked for");
    const RequestHeader& asked = found->second.header;
    const auto command = static_cast<Command>(asked.type);
    std::size_t body = 0;
    if (!chunk) {
        require(!structured || (command != Command::read && command != Command::block_status), "no chunk");
        body = command == Command::read && get<std::uint32_t>(bytes + 4) == 0 ? asked.length : 0;
    } else {
        const auto type = get<std::uint16_t>(bytes + 6);
        body = get<std::uint32_t>(bytes + 16);
        require(get<std::uint16_t>(bytes + 4) == reply_done, "a chunk that is not the last");
        const bool fits =
            type == reply_error         ? body == 6
            : type == reply_offset_data ? command == Command::read && body == 8 + std::size_t{asked.length}
            : type == reply_block_status
                ? command == Command::block_status && body >= 12 && body <= block_status_size(most_extents)
                : false;
        require(fits, "a chunk is larger than asked, or of another kind");
        if (type == reply_block_status && heard.size() >= head + body) {
            std::uint64_t told = 0;
            for (std::size_t at = head + 4; at < head + body; at += 8) {
                require(get<std::uint32_t>(bytes + at) > 0, "an empty extent");
                told += get<std::uint32_t>(bytes + at);
            }
            require(told <= asked.length, "more is told than was asked for");
            require((asked.flags & command_request_one) == 0 || body == 12, "more than one extent");
        }
    }
    if (heard.size() < head + body) {
        return std::nullopt;
    }
    found->second.answered = true;
    return head + body;
}

}  // namespace

void transmission(Bytes input) {
    Reader reader(input);
    const auto how = reader.number<std::uint8_t>();
    Session session((how & reads_only) != 0 ? Mode::read : Mode::write);
    negotiate(session, how);
    session.drive.hold((how & holds) != 0);
    session.drive.error = (how & fails) != 0 ? EIO : 0;
    // The drive's own blocks: every fourth holds data.
    for (std::size_t at = 0; at < drive_size; at += 4 * MemoryDrive::block) {
        session.drive.medium[at] = std::byte{1};
    }

    std::string stream;
    bool more = true;
    for (std::size_t count = 0; more && !reader.empty() && count < most_requests; ++count) {
        more = add_request(reader, session, stream);
    }
    const std::size_t half = stream.size() / 2;
    const std::size_t piece = (how & trickles) != 0 ? 1 + stream.size() / 40 : stream.size() + 1;
    bool taken = session.say(stream.substr(0, half), piece);
    if ((how & ends) != 0) {
        session.catalogue.view->end([] {});
    }
    if ((how & overtaken) != 0) {
        overtake(session);
    }
    taken = taken && session.say(stream.substr(half), piece);
    session.settle();

    const bool structured = (how & without_structured) == 0;
    std::string heard = std::move(session.received);
    while (const std::optional<std::size_t> size = check_reply(session, heard, structured)) {
        heard.erase(0, *size);
    }
    const bool ended = (how & (ends | overtaken)) != 0;  // then the connection ends by itself, soon
    if ((how & holds) == 0 && !ended && taken) {
        require(heard.empty(), "a reply is cut");
        for (const auto& [cookie, request] : session.expected) {
            require(request.answered || !request.whole, "a request is never answered");
        }
    }

    session.client.reset();
    session.drive.hold(false);
    const bool let_in = (how & overtaken) != 0 && (how & ends) == 0;
    for (int step = 0; let_in && session.heard_by_rival.find(ack_to_go()) == std::string::npos; ++step) {
        require(step < patience, "the next instance is never let in");
        session.step();
    }
    session.rival.reset();
    for (int step = 0; session.catalogue.view.use_count() > 1 || session.catalogue.view->in_flight() > 0; ++step) {
        require(step < patience, "a connection stays, or something of it in flight");
        session.step();
    }
    require(session.drive.in_flight() == 0, "the drive still works for one that has gone");
    require(!session.drive.outside, "the drive is asked for what it does not have");
}

}  // namespace drivebay::fuzz
