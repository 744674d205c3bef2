#include "fusefs/nbd_server/nbd_handshake.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace drivebay::nbd {

namespace {

constexpr std::size_t option_header_size = 16;
constexpr std::size_t longest_message = 1024;

std::string_view as_text(const std::byte* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

template <class T>
T number_at(std::string_view data, std::size_t offset) {
    return get<T>(reinterpret_cast<const std::byte*>(data.data()) + offset);
}

}  // namespace

Handshake::Handshake(TlsPolicy tls) : tls_(tls) {
    append(output_, greeting_magic);
    append(output_, option_magic);
    append<std::uint16_t>(output_, flag_fixed_newstyle | flag_no_zeroes);
}

void Handshake::receive(const std::byte* data, std::size_t size) {
    if (state_ == State::ended) {
        return;
    }
    input_.insert(input_.end(), data, data + std::min(size, room()));
    advance();
}

void Handshake::advance() {
    while (state_ == State::negotiating && (flags_taken_ ? take_option() : take_client_flags())) {
    }
}

bool Handshake::take_client_flags() {
    if (input_.size() < 4) {
        return false;
    }
    const auto flags = get<std::uint32_t>(input_.data());
    input_.erase(input_.begin(), input_.begin() + 4);
    if ((flags & ~(client_fixed_newstyle | client_no_zeroes)) != 0) {
        end("the client has flags that nobody offered");
        return false;
    }
    if ((flags & client_fixed_newstyle) == 0) {
        end("the client does not speak fixed newstyle");
        return false;
    }
    no_zeroes_ = (flags & client_no_zeroes) != 0;
    flags_taken_ = true;
    return true;
}

bool Handshake::take_option() {
    if (input_.size() < option_header_size) {
        return false;
    }
    const std::byte* const header = input_.data();
    if (get<std::uint64_t>(header) != option_magic) {
        end("what came is no option");
        return false;
    }
    option_ = static_cast<Option>(get<std::uint32_t>(header + 8));
    const std::size_t length = get<std::uint32_t>(header + 12);
    // Judged before a byte of it is read: nobody makes this server read 4 GiB of option (CVE-2017-15119).
    if (length > longest_option) {
        if (option_ != Option::export_name) {
            reply(OptionReply::error_too_big, "the option is longer than 16384 bytes");
        }
        end("an option is too long");
        return false;
    }
    if (input_.size() < option_header_size + length) {
        return false;
    }
    if (++options_ > most_options) {
        end("too many options");
        return false;
    }
    const std::string data(as_text(header + option_header_size, length));
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(option_header_size + length));
    on_option(option_, data);
    return true;
}

void Handshake::on_option(Option option, std::string_view data) {
    const bool before_tls = option == Option::starttls || option == Option::abort;
    if (tls_ == TlsPolicy::required && !is_secure_ && !before_tls) {
        if (option == Option::export_name) {
            return end("the client wanted an export without TLS");
        }
        return reply(OptionReply::error_tls_required, "this server speaks TLS only: begin with STARTTLS (nbds://)");
    }
    switch (option) {
        case Option::export_name: return on_export_name(data);
        case Option::abort:
            reply(OptionReply::ack);
            return end("the client gave up");
        case Option::list:
            if (!data.empty()) {
                return reply(OptionReply::error_invalid, "LIST takes no data");
            }
            return ask(Question::Kind::list, {});
        case Option::starttls:
            return on_starttls(data);
        case Option::info:
        case Option::go: return on_info_or_go(option, data);
        case Option::structured_reply:
            if (!data.empty()) {
                return reply(OptionReply::error_invalid, "STRUCTURED_REPLY takes no data");
            }
            structured_replies_ = true;
            return reply(OptionReply::ack);
        case Option::list_meta_context:
        case Option::set_meta_context: return on_meta_context(option, data);
        default: return reply(OptionReply::error_unsupported);
    }
}

void Handshake::on_starttls(std::string_view data) {
    if (tls_ == TlsPolicy::none) {
        return reply(OptionReply::error_policy, "this server has no certificate, so no TLS");
    }
    if (is_secure_ || !data.empty()) {
        return reply(OptionReply::error_invalid, is_secure_ ? "this is TLS already" : "STARTTLS takes no data");
    }
    // Somebody in between could have put it there (CVE-2021-3716).
    if (!input_.empty()) {
        return end("what came right behind STARTTLS was not encrypted");
    }
    reply(OptionReply::ack);
    state_ = State::securing;
}

void Handshake::secured() {
    is_secure_ = true;
    structured_replies_ = false;
    context_bound_to_.reset();
    options_ = 0;
    state_ = State::negotiating;
}

void Handshake::on_export_name(std::string_view name) {
    // There is no way to answer this option but with the export: every refusal is a hang-up.
    if (name.size() > longest_string) {
        return end("the export's name is too long");
    }
    ask(Question::Kind::go, name);
}

void Handshake::on_info_or_go(Option option, std::string_view data) {
    // [NBD_OPT_GO]: u32 name length, name, u16 number of requests, that many u16.
    if (data.size() < 6) {
        return reply(OptionReply::error_invalid, "the option is too short");
    }
    const std::size_t name_length = number_at<std::uint32_t>(data, 0);
    if (name_length > data.size() - 6) {
        return reply(OptionReply::error_invalid, "the name is longer than the option");
    }
    if (name_length > longest_string) {
        return reply(OptionReply::error_too_big, "the name is longer than 4096 bytes");
    }
    const std::size_t requests = number_at<std::uint16_t>(data, 4 + name_length);
    if (data.size() != 6 + name_length + 2 * requests) {
        return reply(OptionReply::error_invalid, "the number of information requests does not fit the option");
    }
    wants_name_ = wants_description_ = wants_block_size_ = false;
    for (std::size_t i = 0; i < requests; ++i) {
        switch (static_cast<Info>(number_at<std::uint16_t>(data, 6 + name_length + 2 * i))) {
            case Info::name: wants_name_ = true; break;
            case Info::description: wants_description_ = true; break;
            case Info::block_size: wants_block_size_ = true; break;
            default: break;  // unknown ones are to be ignored
        }
    }
    ask(option == Option::go ? Question::Kind::go : Question::Kind::info, data.substr(4, name_length));
}

// [NBD_OPT_LIST_META_CONTEXT]: u32 name length, name, u32 number of queries, each a u32 length and a text. Whatever the
// number of queries, the answer names a context once.
void Handshake::on_meta_context(Option option, std::string_view data) {
    if (option == Option::set_meta_context) {
        context_bound_to_.reset();  // [NBD_OPT_SET_META_CONTEXT]: each replaces the one before, a refused one too
    }
    if (!structured_replies_) {
        return reply(OptionReply::error_invalid, "metadata contexts need structured replies: ask for those first");
    }
    if (data.size() < 8) {
        return reply(OptionReply::error_invalid, "the option is too short");
    }
    const std::size_t name_length = number_at<std::uint32_t>(data, 0);
    if (name_length > data.size() - 8) {
        return reply(OptionReply::error_invalid, "the name is longer than the option");
    }
    if (name_length > longest_string) {
        return reply(OptionReply::error_too_big, "the name is longer than 4096 bytes");
    }
    const std::string_view name = data.substr(4, name_length);
    const std::size_t queries = number_at<std::uint32_t>(data, 4 + name_length);
    data.remove_prefix(8 + name_length);
    const bool lists = option == Option::list_meta_context;
    wants_context_ = lists && queries == 0;
    for (std::size_t i = 0; i < queries; ++i) {
        if (data.size() < 4 || number_at<std::uint32_t>(data, 0) > data.size() - 4) {
            return reply(OptionReply::error_invalid, "the queries do not fit the option");
        }
        const std::string_view query = data.substr(4, number_at<std::uint32_t>(data, 0));
        if (query.size() > longest_string) {
            return reply(OptionReply::error_too_big, "a query is longer than 4096 bytes");
        }
        // A whole namespace can be listed, not set. Unknown ones are ignored.
        wants_context_ = wants_context_ || query == base_allocation || (lists && query == base_namespace);
        data.remove_prefix(4 + query.size());
    }
    if (!data.empty()) {
        return reply(OptionReply::error_invalid, "the number of queries does not fit the option");
    }
    ask(Question::Kind::info, name);
}

// The export is there.
void Handshake::answer_meta_context() {
    const bool sets = option_ == Option::set_meta_context;
    if (wants_context_) {
        std::string data;
        append(data, sets ? base_allocation_id : std::uint32_t{0});
        reply(OptionReply::meta_context, data.append(base_allocation));
    }
    if (wants_context_ && sets) {
        context_bound_to_ = question_.name;
    }
    reply(OptionReply::ack);
    state_ = State::negotiating;
    advance();
}

void Handshake::ask(Question::Kind kind, std::string_view name) {
    question_ = {kind, std::string(name)};
    state_ = State::asking;
}

void Handshake::answer_list(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        std::string data;
        append<std::uint32_t>(data, static_cast<std::uint32_t>(name.size()));
        reply(OptionReply::server, data + name);
    }
    reply(OptionReply::ack);
    state_ = State::negotiating;
    advance();
}

void Handshake::answer_export(const ExportDescription& description) {
    if (option_ == Option::list_meta_context || option_ == Option::set_meta_context) {
        return answer_meta_context();
    }
    std::string facts;
    append(facts, description.size);
    // Every read is answered in one chunk, asked for or not: [Transmission flags], SEND_DF.
    append<std::uint16_t>(facts, description.flags | (structured_replies_ ? send_dont_fragment : 0));
    if (option_ == Option::export_name) {
        output_ += facts;
        if (!no_zeroes_) {
            output_.append(124, '\0');
        }
        state_ = State::transmission;
        return;
    }
    reply_info(Info::export_facts, facts);
    if (wants_name_) {
        reply_info(Info::name, question_.name);
    }
    if (wants_description_) {
        reply_info(Info::description, description.description);
    }
    if (wants_block_size_) {
        std::string sizes;
        append<std::uint32_t>(sizes, 1);  // any alignment is taken
        append(sizes, description.preferred_block);
        append(sizes, largest_payload);
        reply_info(Info::block_size, sizes);
    }
    reply(OptionReply::ack);
    if (question_.kind == Question::Kind::go) {
        state_ = State::transmission;
        return;
    }
    state_ = State::negotiating;
    advance();
}

void Handshake::refuse_export(OptionReply type, const std::string& why) {
    if (option_ == Option::export_name) {
        return end(why);
    }
    reply(type, why);
    state_ = State::negotiating;
    advance();
}

void Handshake::reply(OptionReply type, std::string_view data) {
    const bool is_error = (static_cast<std::uint32_t>(type) & 0x80000000u) != 0;
    data = is_error ? data.substr(0, longest_message) : data;
    append(output_, option_reply_magic);
    append(output_, static_cast<std::uint32_t>(option_));
    append(output_, static_cast<std::uint32_t>(type));
    append(output_, static_cast<std::uint32_t>(data.size()));
    output_ += data;
}

void Handshake::reply_info(Info info, const std::string& data) {
    std::string whole;
    append(whole, static_cast<std::uint16_t>(info));
    reply(OptionReply::info, whole + data);
}

void Handshake::end(std::string reason) {
    reason_ = std::move(reason);
    state_ = State::ended;
    input_.clear();
}

std::string Handshake::take_output() { return std::exchange(output_, {}); }

std::vector<std::byte> Handshake::take_rest() { return std::exchange(input_, {}); }

}  // namespace drivebay::nbd
