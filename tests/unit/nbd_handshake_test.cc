#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <random>
#include <string>
#include <string_view>

#include "fusefs/nbd_server/nbd_handshake.h"

namespace drivebay::nbd {
namespace {

using State = Handshake::State;

void feed(Handshake& handshake, std::string_view bytes) {
    handshake.receive(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
}

std::string number32(std::uint32_t value) {
    std::string out;
    append(out, value);
    return out;
}

std::string number16(std::uint16_t value) {
    std::string out;
    append(out, value);
    return out;
}

std::string option(Option type, std::string_view data, std::uint32_t claimed) {
    std::string out;
    append(out, option_magic);
    append(out, static_cast<std::uint32_t>(type));
    append(out, claimed);
    return out += data;
}

std::string option(Option type, std::string_view data = {}) {
    return option(type, data, static_cast<std::uint32_t>(data.size()));
}

std::string go_data(std::string_view name, std::initializer_list<Info> wanted = {}) {
    std::string out = number32(static_cast<std::uint32_t>(name.size()));
    out += name;
    out += number16(static_cast<std::uint16_t>(wanted.size()));
    for (const Info info : wanted) {
        out += number16(static_cast<std::uint16_t>(info));
    }
    return out;
}

std::string context_data(std::string_view name, const std::vector<std::string>& queries) {
    std::string out = number32(static_cast<std::uint32_t>(name.size()));
    out += name;
    out += number32(static_cast<std::uint32_t>(queries.size()));
    for (const std::string& query : queries) {
        out += number32(static_cast<std::uint32_t>(query.size())) + query;
    }
    return out;
}

std::string reply(Option to, OptionReply type, std::string_view data = {}) {
    std::string out;
    append(out, option_reply_magic);
    append(out, static_cast<std::uint32_t>(to));
    append(out, static_cast<std::uint32_t>(type));
    append(out, static_cast<std::uint32_t>(data.size()));
    return out += data;
}

// The type of the first option reply in `output`.
std::uint32_t reply_type(const std::string& output) {
    return output.size() < 20 ? 0 : get<std::uint32_t>(reinterpret_cast<const std::byte*>(output.data()) + 12);
}

// A handshake behind the client's flags, its greeting taken.
Handshake begun(TlsPolicy tls = TlsPolicy::none) {
    Handshake handshake(tls);
    handshake.take_output();
    feed(handshake, number32(client_fixed_newstyle | client_no_zeroes));
    return handshake;
}

const ExportDescription some_export{1 << 20, has_flags | send_flush, 4096, "drivebay boot=b epoch=7 kind=disk"};

}  // namespace

BOOST_AUTO_TEST_SUITE(nbd_handshake)

BOOST_AUTO_TEST_CASE(the_greeting_is_not_fixed_newstyle) {
    Handshake handshake;
    const std::string greeting = handshake.take_output();
    BOOST_TEST(greeting == std::string("NBDMAGICIHAVEOPT\0\3", 18));
}

BOOST_AUTO_TEST_CASE(a_client_of_another_protocol_goes_on) {
    for (const std::uint32_t flags : {0u, 2u, 5u, 0x80000001u, UINT32_MAX}) {
        Handshake handshake;
        feed(handshake, number32(flags));
        BOOST_TEST((handshake.state() == State::ended));
    }
}

BOOST_AUTO_TEST_CASE(go_is_answered_with_something_else_than_the_export) {
    Handshake handshake = begun();
    feed(handshake, option(Option::go, go_data("blade01/x@7", {Info::description, Info::block_size, Info::name})));
    BOOST_REQUIRE((handshake.state() == State::asking));
    BOOST_TEST((handshake.question().kind == Question::Kind::go));
    BOOST_TEST(handshake.question().name == "blade01/x@7");
    handshake.answer_export(some_export);
    BOOST_TEST((handshake.state() == State::transmission));
    std::string facts = number16(0);
    append<std::uint64_t>(facts, 1 << 20);
    facts += number16(has_flags | send_flush);
    BOOST_TEST(handshake.take_output() ==
               reply(Option::go, OptionReply::info, facts) +
                   reply(Option::go, OptionReply::info, number16(1) + "blade01/x@7") +
                   reply(Option::go, OptionReply::info, number16(2) + some_export.description) +
                   reply(Option::go, OptionReply::info, number16(3) + number32(1) + number32(4096) + number32(32u << 20)) +
                   reply(Option::go, OptionReply::ack));
}

BOOST_AUTO_TEST_CASE(info_begins_the_transmission) {
    Handshake handshake = begun();
    feed(handshake, option(Option::info, go_data("x")));
    handshake.answer_export(some_export);
    BOOST_TEST((handshake.state() == State::negotiating));
    feed(handshake, option(Option::abort));
    BOOST_TEST((handshake.state() == State::ended));
}

BOOST_AUTO_TEST_CASE(export_name_gets_its_zeroes_although_nobody_wants_them) {
    for (const bool no_zeroes : {true, false}) {
        Handshake handshake;
        handshake.take_output();
        feed(handshake, number32(no_zeroes ? 3 : 1) + option(Option::export_name, "x"));
        handshake.answer_export(some_export);
        BOOST_TEST(handshake.take_output().size() == (no_zeroes ? 10u : 134u));
        BOOST_TEST((handshake.state() == State::transmission));
    }
}

BOOST_AUTO_TEST_CASE(an_unknown_export_is_refused_in_a_way_that_export_name_does_not_know) {
    Handshake handshake = begun();
    feed(handshake, option(Option::export_name, "x"));
    handshake.refuse_export(OptionReply::error_unknown, "no");
    BOOST_TEST((handshake.state() == State::ended));
    BOOST_TEST(handshake.take_output().empty());

    Handshake polite = begun();
    feed(polite, option(Option::go, go_data("x")));
    polite.refuse_export(OptionReply::error_unknown, "no");
    BOOST_TEST((polite.state() == State::negotiating));
    BOOST_TEST(polite.take_output() == reply(Option::go, OptionReply::error_unknown, "no"));
}

BOOST_AUTO_TEST_CASE(the_list_is_not_ended) {
    Handshake handshake = begun();
    feed(handshake, option(Option::list));
    handshake.answer_list({"a/x", "b/y"});
    BOOST_TEST(handshake.take_output() == reply(Option::list, OptionReply::server, number32(3) + "a/x") +
                                              reply(Option::list, OptionReply::server, number32(3) + "b/y") +
                                              reply(Option::list, OptionReply::ack));
    feed(handshake, option(Option::list, "junk"));
    BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
}

BOOST_AUTO_TEST_CASE(what_is_not_known_ends_the_negotiation) {
    Handshake handshake = begun();
    const std::pair<Option, OptionReply> expected[] = {
        {Option::starttls, OptionReply::error_policy},
        {static_cast<Option>(4), OptionReply::error_unsupported},
        {static_cast<Option>(0xffffffff), OptionReply::error_unsupported},
    };
    for (const auto& [type, answer] : expected) {
        feed(handshake, option(type, "data"));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(answer));
        BOOST_TEST((handshake.state() == State::negotiating));
    }
}

BOOST_AUTO_TEST_CASE(structured_replies_are_forgotten) {
    Handshake handshake = begun();
    BOOST_TEST(!handshake.structured_replies());
    feed(handshake, option(Option::structured_reply));
    BOOST_TEST(handshake.structured_replies());
    feed(handshake, option(Option::go, go_data("x")));
    handshake.take_output();
    handshake.answer_export(some_export);
    const std::string output = handshake.take_output();
    const auto flags = get<std::uint16_t>(reinterpret_cast<const std::byte*>(output.data()) + 30);
    BOOST_TEST((flags & send_dont_fragment) != 0);
}

// [NBD_OPT_SET_META_CONTEXT], [NBD_OPT_LIST_META_CONTEXT]
BOOST_AUTO_TEST_CASE(a_metadata_context_is_listed_that_cannot_be_set) {
    struct Row {
        Option option;
        std::vector<std::string> queries;
        bool found;
    };
    const Option list = Option::list_meta_context;
    const Option set = Option::set_meta_context;
    const Row rows[] = {
        {list, {}, true},
        {list, {"base:"}, true},
        {list, {"base:allocation"}, true},
        {list, {"x-y:", "base:", "base:allocation", "base:"}, true},
        {list, {"base"}, false},
        {list, {""}, false},
        {list, {"base:allocatio", "base:allocation2", "qemu:base:allocation", std::string(4096, 'q')}, false},
        {set, {}, false},
        {set, {"base:"}, false},
        {set, {"base:allocation"}, true},
        {set, {"qemu:dirty-bitmap:b", "base:allocation", "base:allocation"}, true},
        {set, {"base:other"}, false},
    };
    for (const Row& row : rows) {
        Handshake handshake = begun();
        feed(handshake, option(Option::structured_reply) + option(row.option, context_data("a/x", row.queries)));
        BOOST_REQUIRE((handshake.state() == State::asking));
        BOOST_TEST((handshake.question().kind == Question::Kind::info));
        BOOST_TEST(handshake.question().name == "a/x");
        handshake.take_output();
        handshake.answer_export(some_export);
        BOOST_TEST((handshake.state() == State::negotiating));
        const std::string context =
            reply(row.option, OptionReply::meta_context, number32(row.option == set ? 1 : 0) + "base:allocation");
        BOOST_TEST(handshake.take_output() == (row.found ? context : "") + reply(row.option, OptionReply::ack));
        feed(handshake, option(Option::go, go_data("a/x")));
        handshake.answer_export(some_export);
        BOOST_TEST(handshake.block_status() == (row.found && row.option == set));
    }
}

BOOST_AUTO_TEST_CASE(a_context_outlives_its_replacement_or_is_another_exports) {
    const auto set = [](Handshake& handshake, const std::string& name, const std::vector<std::string>& queries) {
        feed(handshake, option(Option::set_meta_context, context_data(name, queries)));
        if (handshake.state() == State::asking) {
            handshake.answer_export(some_export);
        }
    };
    const auto goes = [](Handshake& handshake, const std::string& name, Option by = Option::go) {
        feed(handshake, option(by, by == Option::go ? go_data(name) : name));
        handshake.answer_export(some_export);
        BOOST_REQUIRE((handshake.state() == State::transmission));
        return handshake.block_status();
    };
    const auto structured = [] {
        Handshake handshake = begun();
        feed(handshake, option(Option::structured_reply));
        return handshake;
    };
    const std::vector<std::string> base = {"base:allocation"};
    Handshake same = structured();
    set(same, "a/x@7", base);
    BOOST_TEST(goes(same, "a/x@7"));
    Handshake by_name = structured();
    set(by_name, "a/x@7", base);
    BOOST_TEST(goes(by_name, "a/x@7", Option::export_name));
    Handshake other = structured();
    set(other, "a/x", base);
    BOOST_TEST(!goes(other, "a/x@7"));
    Handshake replaced = structured();
    set(replaced, "a/x", base);
    set(replaced, "a/x", {"other:"});
    BOOST_TEST(!goes(replaced, "a/x"));
    Handshake moved = structured();
    set(moved, "a/x", base);
    set(moved, "a/y", base);
    BOOST_TEST(!goes(moved, "a/x"));
    Handshake failed = structured();
    set(failed, "a/x", base);
    feed(failed, option(Option::set_meta_context, "bad"));
    BOOST_TEST(!goes(failed, "a/x"));
    Handshake unknown = structured();
    set(unknown, "a/x", base);
    feed(unknown, option(Option::set_meta_context, context_data("a/x", base)));
    unknown.refuse_export(OptionReply::error_unknown, "no");
    BOOST_TEST(!goes(unknown, "a/x"));
    Handshake listed = structured();
    set(listed, "a/x", base);
    feed(listed, option(Option::list_meta_context, context_data("a/y", {})));
    listed.answer_export(some_export);
    BOOST_TEST(goes(listed, "a/x"));
    Handshake none = structured();
    BOOST_TEST(!goes(none, ""));
}

BOOST_AUTO_TEST_CASE(a_context_is_given_without_structured_replies) {
    for (const Option type : {Option::list_meta_context, Option::set_meta_context}) {
        Handshake handshake = begun();
        feed(handshake, option(type, context_data("a/x", {"base:allocation"})));
        BOOST_TEST((handshake.state() == State::negotiating));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
        feed(handshake, option(Option::structured_reply) + option(Option::go, go_data("a/x")));
        handshake.answer_export(some_export);
        BOOST_TEST(!handshake.block_status());
    }
}

// CVE-2022-26495 and 2017-15119 for the lengths of the metadata options: none is believed.
BOOST_AUTO_TEST_CASE(the_lengths_inside_a_metadata_option_are_believed) {
    const std::string query = number32(5) + "base:";
    struct Row {
        std::string data;
        OptionReply answer = OptionReply::error_invalid;
    };
    std::vector<Row> rows = {
        {number32(UINT32_MAX) + "a/x" + number32(1) + query},
        {number32(UINT32_MAX - 7) + "a/x" + number32(1) + query},
        {number32(4) + "a/x" + number32(0)},
        {number32(3) + "a/x" + number32(0) + "more"},
        {number32(3) + "a/x" + number32(1)},
        {number32(3) + "a/x" + number32(2) + query},
        {number32(3) + "a/x" + number32(UINT32_MAX) + query},
        {number32(3) + "a/x" + number32(1) + number32(6) + "base:"},
        {number32(3) + "a/x" + number32(1) + number32(UINT32_MAX) + "base:"},
        {number32(3) + "a/x" + number32(1) + number32(UINT32_MAX - 3) + "base:"},
        {number32(3) + "a/x" + number32(1) + query + "x"},
        {number32(3) + "a/x" + number32(1) + number32(4097) + std::string(4097, 'q'), OptionReply::error_too_big},
        {number32(4097) + std::string(4097, 'n') + number32(0), OptionReply::error_too_big},
    };
    for (std::size_t size = 0; size < 8; ++size) {
        rows.push_back({std::string(size, '\0')});
    }
    for (const Option type : {Option::list_meta_context, Option::set_meta_context}) {
        for (const Row& row : rows) {
            Handshake handshake = begun();
            feed(handshake, option(Option::structured_reply));
            handshake.take_output();
            feed(handshake, option(type, row.data));
            BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(row.answer));
            BOOST_TEST((handshake.state() == State::negotiating));
        }
    }
    // As many empty queries as an option holds: one answer.
    Handshake handshake = begun();
    feed(handshake, option(Option::structured_reply));
    const std::vector<std::string> most((Handshake::longest_option - 8 - 9) / 9, "base:");
    feed(handshake, option(Option::list_meta_context, context_data("", most)));
    handshake.take_output();
    handshake.answer_export(some_export);
    BOOST_TEST(handshake.take_output().size() == 20u + 4u + 15u + 20u);
}

// CVE-2022-26495: a name length of 0xffffffff, plus one for the end, is 0.
BOOST_AUTO_TEST_CASE(a_name_length_that_overflows_is_believed) {
    for (const std::uint32_t claimed : {UINT32_MAX, UINT32_MAX - 1, 0x7fffffffu, 17u, 13u}) {
        Handshake handshake = begun();
        feed(handshake, option(Option::go, number32(claimed) + "short" + number16(0)));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
        BOOST_TEST((handshake.state() == State::negotiating));
    }
}

// The same for the number of information requests.
BOOST_AUTO_TEST_CASE(a_number_of_information_requests_that_is_not_there_is_believed) {
    for (const std::uint16_t claimed : {std::uint16_t{1}, std::uint16_t{0x7fff}, std::uint16_t{0xffff}}) {
        Handshake handshake = begun();
        feed(handshake, option(Option::info, number32(1) + "x" + number16(claimed)));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
    }
    Handshake handshake = begun();
    feed(handshake, option(Option::info, number32(1) + "x" + number16(0) + "more"));
    BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
}

BOOST_AUTO_TEST_CASE(an_option_too_short_for_its_own_fields_is_read_past_its_end) {
    for (std::size_t size = 0; size < 6; ++size) {
        Handshake handshake = begun();
        feed(handshake, option(Option::go, std::string(size, '\0')));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_invalid));
    }
}

// CVE-2022-26496, CVE-2017-15118: an export name of 4096 bytes and more.
BOOST_AUTO_TEST_CASE(a_long_export_name_is_taken) {
    for (const std::size_t size : {4097u, 8192u, 16378u}) {
        Handshake handshake = begun();
        feed(handshake, option(Option::go, go_data(std::string(size, 'n'))));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_too_big));
        BOOST_TEST((handshake.state() == State::negotiating));

        Handshake old = begun();
        feed(old, option(Option::export_name, std::string(size, 'n')));
        BOOST_TEST((old.state() == State::ended));
    }
    Handshake handshake = begun();
    feed(handshake, option(Option::go, go_data(std::string(4096, 'n'))));
    BOOST_TEST((handshake.state() == State::asking));
}

// CVE-2017-15119: 4 GiB of option data are announced.
BOOST_AUTO_TEST_CASE(an_option_of_4_gib_is_read) {
    for (const Option type : {Option::go, Option::list, Option::export_name, static_cast<Option>(99)}) {
        for (const std::uint32_t claimed : {UINT32_MAX, 16385u, 0x80000000u}) {
            Handshake handshake = begun();
            feed(handshake, option(type, "", claimed));
            BOOST_TEST((handshake.state() == State::ended));
            const std::string output = handshake.take_output();
            if (type == Option::export_name) {
                BOOST_TEST(output.empty());
            } else {
                BOOST_TEST(reply_type(output) == static_cast<std::uint32_t>(OptionReply::error_too_big));
            }
        }
    }
}

// CVE-2020-10761: what a peer sends decides over an assertion. A long name comes back in no message longer than allowed.
BOOST_AUTO_TEST_CASE(a_refusal_is_as_long_as_the_peer_likes) {
    Handshake handshake = begun();
    feed(handshake, option(Option::go, go_data(std::string(4096, 'n'))));
    handshake.refuse_export(OptionReply::error_unknown, "there is no export " + std::string(4096, 'n'));
    BOOST_TEST(handshake.take_output().size() <= 20u + 4096u);
}

// CVE-2013-7441, 2017-7539, 2017-9524: the peer goes, or says something else, in the middle of the negotiation.
BOOST_AUTO_TEST_CASE(a_negotiation_cut_anywhere_or_in_pieces_comes_out_differently) {
    const std::string whole = number32(3) + option(Option::structured_reply) + option(static_cast<Option>(50), "abc") +
                              option(Option::go, go_data("blade01/x", {Info::description}));
    Handshake at_once;
    feed(at_once, whole);
    at_once.answer_export(some_export);
    const std::string expected = at_once.take_output();
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        Handshake handshake;
        feed(handshake, whole.substr(0, cut));
        BOOST_REQUIRE((handshake.state() == State::negotiating));
        for (const char c : whole.substr(cut)) {
            feed(handshake, std::string(1, c));
        }
        BOOST_REQUIRE((handshake.state() == State::asking));
        handshake.answer_export(some_export);
        BOOST_REQUIRE(handshake.take_output() == expected);
    }
}

BOOST_AUTO_TEST_CASE(the_first_requests_behind_go_are_lost_or_taken_for_options) {
    Handshake handshake = begun();
    feed(handshake, option(Option::go, go_data("x")) + "first request");
    handshake.answer_export(some_export);
    const std::vector<std::byte> rest = handshake.take_rest();
    BOOST_TEST(std::string(reinterpret_cast<const char*>(rest.data()), rest.size()) == "first request");
}

BOOST_AUTO_TEST_CASE(a_client_may_haggle_for_ever) {
    Handshake handshake = begun();
    for (unsigned i = 0; i < Handshake::most_options; ++i) {
        feed(handshake, option(static_cast<Option>(50)));
        BOOST_REQUIRE((handshake.state() == State::negotiating));
    }
    feed(handshake, option(static_cast<Option>(50)));
    BOOST_TEST((handshake.state() == State::ended));
}

BOOST_AUTO_TEST_CASE(random_bytes_make_it_keep_more_than_its_limit_or_reach_the_transmission) {
    for (unsigned seed = 1; seed <= 500; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            std::mt19937 random(seed);
            Handshake handshake = begun();
            std::string bytes;
            for (int i = 0; i < 20; ++i) {
                const auto type = static_cast<Option>(random() % 12);
                std::string data(random() % 40, '\0');
                for (char& c : data) {
                    c = random() % 3 == 0 ? static_cast<char>(random()) : '\0';
                }
                bytes += random() % 8 == 0 ? option(type, data, static_cast<std::uint32_t>(random())) : option(type, data);
            }
            for (std::size_t at = 0; at < bytes.size() && handshake.state() != State::ended;) {
                const std::size_t piece = std::min<std::size_t>(1 + random() % 64, std::min(bytes.size() - at, handshake.room()));
                feed(handshake, std::string_view(bytes).substr(at, piece));
                at += piece;
                while (handshake.state() == State::asking) {
                    if (handshake.question().kind == Question::Kind::list) {
                        handshake.answer_list({});
                    } else {
                        BOOST_REQUIRE(handshake.question().name.size() <= longest_string);
                        handshake.refuse_export(OptionReply::error_unknown, "no");
                    }
                }
                BOOST_REQUIRE(handshake.room() <= Handshake::input_limit);
                BOOST_REQUIRE((handshake.state() != State::transmission));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_client_without_tls_learns_something_where_tls_is_required) {
    for (const Option type : {Option::list, Option::info, Option::go, Option::structured_reply, Option::set_meta_context}) {
        Handshake handshake = begun(TlsPolicy::required);
        feed(handshake, option(type, type == Option::list || type == Option::structured_reply ? "" : go_data("x")));
        BOOST_TEST((handshake.state() == State::negotiating));
        BOOST_TEST(reply_type(handshake.take_output()) == static_cast<std::uint32_t>(OptionReply::error_tls_required));
        BOOST_TEST(!handshake.structured_replies());
    }
    Handshake handshake = begun(TlsPolicy::required);
    feed(handshake, option(Option::export_name, "x"));
    BOOST_TEST((handshake.state() == State::ended));
    BOOST_TEST(handshake.take_output().empty());
}

BOOST_AUTO_TEST_CASE(starttls_is_taken_where_it_makes_no_sense) {
    const auto answer = [](Handshake& handshake, std::string_view data) {
        feed(handshake, option(Option::starttls, data));
        return reply_type(handshake.take_output());
    };
    Handshake none = begun();
    BOOST_TEST(answer(none, "") == static_cast<std::uint32_t>(OptionReply::error_policy));
    Handshake offered = begun(TlsPolicy::offered);
    BOOST_TEST(answer(offered, "data") == static_cast<std::uint32_t>(OptionReply::error_invalid));
    BOOST_TEST(answer(offered, "") == static_cast<std::uint32_t>(OptionReply::ack));
    BOOST_TEST((offered.state() == State::securing));
    offered.secured();
    BOOST_TEST(answer(offered, "") == static_cast<std::uint32_t>(OptionReply::error_invalid));
    feed(offered, option(Option::go, go_data("x")));
    BOOST_TEST((offered.state() == State::asking));
}

// CVE-2021-3716: somebody in between puts options before or behind STARTTLS.
BOOST_AUTO_TEST_CASE(what_was_agreed_on_in_plain_counts_in_tls) {
    Handshake before = begun(TlsPolicy::offered);
    feed(before, option(Option::structured_reply));
    BOOST_TEST(before.structured_replies());
    feed(before, option(Option::starttls));
    before.secured();
    BOOST_TEST(!before.structured_replies());
    BOOST_TEST(!before.block_status());

    Handshake behind = begun(TlsPolicy::required);
    feed(behind, option(Option::starttls) + option(Option::structured_reply));
    BOOST_TEST((behind.state() == State::ended));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::nbd
