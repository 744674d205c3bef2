// The server's half of the NBD handshake, fixed newstyle only, without socket, clock or thread: bytes in, bytes out, and
// questions to whoever knows the exports. Everything a peer sends is bounded before it is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fusefs/nbd_server/nbd_protocol.h"

namespace drivebay::nbd {

// What the handshake tells of an export.
struct ExportDescription {
    std::uint64_t size = 0;
    std::uint16_t flags = 0;  // transmission flags
    std::uint32_t preferred_block = 4096;
    std::string description;
};

struct Question {
    enum class Kind {
        list,  // answer_list()
        info,  // answer_export(): what there is; nothing is opened
        go,    // answer_export(): opened for this connection; the transmission begins
    } kind = Kind::list;
    std::string name;
};

// Whether STARTTLS is answered, and whether anything else is before it ([TLS support], SELECTIVETLS and FORCEDTLS).
enum class TlsPolicy { none, offered, required };

class Handshake {
public:
    enum class State {
        negotiating,
        securing,      // send what there is to send; what follows, both ways, is TLS: then secured()
        asking,        // question() is to be answered; nothing is read meanwhile
        transmission,  // over: take_rest() are the first bytes of requests
        ended,         // send what there is to send, then hang up
    };

    // Begins with the greeting in the output.
    explicit Handshake(TlsPolicy tls = TlsPolicy::none);

    State state() const { return state_; }
    const Question& question() const { return question_; }
    bool structured_replies() const { return structured_replies_; }
    // In transmission: the client may ask for the block status of the export that it went to.
    bool block_status() const { return context_bound_to_ == question_.name; }
    // Why it ended; for the log.
    const std::string& reason() const { return reason_; }

    // At most input_limit bytes are kept: while room() is 0 the peer waits.
    void receive(const std::byte* data, std::size_t size);
    std::size_t room() const { return input_limit - input_.size(); }

    // The connection is encrypted now. Whatever was agreed on before, perhaps with somebody in between, is forgotten.
    void secured();

    void answer_list(const std::vector<std::string>& names);
    void answer_export(const ExportDescription& description);
    // `type`: error_unknown (there is none of that name, and a client may take that for final), error_shutdown (it has
    // just ended) or error_policy (not now).
    void refuse_export(OptionReply type, const std::string& why);

    std::string take_output();
    std::vector<std::byte> take_rest();

    // An option's data; an export name is at most longest_string of it.
    static constexpr std::size_t longest_option = 16384;
    static constexpr std::size_t input_limit = longest_option + 16;
    // A client that haggles longer is no client.
    static constexpr unsigned most_options = 256;

private:
    void advance();
    bool take_client_flags();
    bool take_option();
    void on_option(Option option, std::string_view data);
    void on_starttls(std::string_view data);
    void on_export_name(std::string_view name);
    void on_info_or_go(Option option, std::string_view data);
    void on_meta_context(Option option, std::string_view data);
    void answer_meta_context();
    void reply(OptionReply type, std::string_view data = {});
    void reply_info(Info info, const std::string& data);
    void end(std::string reason);
    void ask(Question::Kind kind, std::string_view name);

    const TlsPolicy tls_;
    bool is_secure_ = false;
    State state_ = State::negotiating;
    std::vector<std::byte> input_;
    std::string output_;
    bool flags_taken_ = false;
    bool no_zeroes_ = false;
    bool structured_replies_ = false;
    unsigned options_ = 0;
    Option option_{};  // the one being answered
    bool wants_name_ = false;
    bool wants_description_ = false;
    bool wants_block_size_ = false;
    bool wants_context_ = false;  // the queries of the metadata option being answered name base:allocation
    // The export name for which base:allocation is set; it holds for that name alone.
    std::optional<std::string> context_bound_to_;
    Question question_;
    std::string reason_;
};

}  // namespace drivebay::nbd
