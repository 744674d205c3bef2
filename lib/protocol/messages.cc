#include "lib/protocol/messages.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <type_traits>

#include "lib/base/log.h"
#include "lib/base/names.h"
#include "lib/base/shortened.h"
#include "lib/protocol/bounds.h"

namespace drivebay::protocol {
namespace {

using nlohmann::json;

struct WrongMessage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Somebody else's word in a sentence of ours.
std::string quoted(const std::string& word) { return log::quoted(shortened(word, longest_word)); }

// The words of each enumeration, in the order of its values.
template <class E>
constexpr std::array<std::string_view, 0> words{};
template <>
constexpr std::array<std::string_view, 2> words<Mode>{"read", "write"};
template <>
constexpr std::array<std::string_view, 2> words<DriveKind>{"disk", "cdrom"};
template <>
constexpr std::array<std::string_view, 5> words<SlotState>{"empty", "loaded", "ejected-by-host", "error", "offline"};
template <>
constexpr std::array<std::string_view, 3> words<Outcome>{"drained", "lost", "unknown"};
template <>
constexpr std::array<std::string_view, 2> words<DriveState>{"ready", "failed"};

// Each message's fields are told once, by fields(visitor, message) below; Writer and Reader are the visitors.

template <class V, class M>
constexpr bool has_fields = requires(V& visitor, M& message) {
    fields(visitor, message);
};

class Writer {
public:
    explicit Writer(json& out) : out_(out) {}

    template <class T>
    void operator()(const char* key, T& value) {
        out_[key] = encoded(value);
    }
    template <class T>
    void optional(const char* key, T& value) {
        (*this)(key, value);
    }
    // An empty text stands for none and is written as null.
    void nullable(const char* key, std::string& value) { out_[key] = value.empty() ? json(nullptr) : json(value); }

private:
    template <class T>
    static json encoded(T& value) {
        if constexpr (std::is_enum_v<T>) {
            return words<T>.at(static_cast<std::size_t>(value));
        } else if constexpr (has_fields<Writer, T>) {
            json object = json::object();
            Writer writer(object);
            fields(writer, value);
            return object;
        } else {
            return json(value);
        }
    }
    template <class T>
    static json encoded(std::vector<T>& values) {
        json array = json::array();
        for (T& value : values) {
            array.push_back(encoded(value));
        }
        return array;
    }
    template <class T>
    static json encoded(std::optional<T>& value) {
        return value ? encoded(*value) : json(nullptr);
    }
    json& out_;
};

class Reader {
public:
    Reader(const json& in, std::string place) : in_(in), place_(std::move(place)) {
        if (!in.is_object()) {
            throw WrongMessage(place_ + " must be an object");
        }
    }

    template <class T>
    void operator()(const char* key, T& value) {
        decode_into(value, member(key), place_ + "." + key);
    }
    // One that earlier versions do not tell: absent, it stays as it is.
    template <class T>
    void optional(const char* key, T& value) {
        if (const auto found = in_.find(key); found != in_.end()) {
            decode_into(value, *found, place_ + "." + key);
        }
    }
    void nullable(const char* key, std::string& value) {
        const json& found = member(key);
        if (!found.is_null()) {
            decode_into(value, found, place_ + "." + key);
        }
    }

private:
    const json& member(const char* key) const {
        const auto found = in_.find(key);
        if (found == in_.end()) {
            throw WrongMessage(fmt::format("{} lacks \"{}\"", place_, key));
        }
        return *found;
    }

    template <class T>
    static void decode_into(T& value, const json& in, const std::string& place) {
        if constexpr (std::is_enum_v<T>) {
            const std::string& word = text(in, place);
            for (std::size_t i = 0; i < words<T>.size(); ++i) {
                if (words<T>[i] == word) {
                    value = static_cast<T>(i);
                    return;
                }
            }
            throw WrongMessage(fmt::format("{} has no such value as {}", place, quoted(word)));
        } else if constexpr (std::is_same_v<T, bool>) {
            if (!in.is_boolean()) {
                throw WrongMessage(place + " must be true or false");
            }
            value = in.get<bool>();
        } else if constexpr (std::is_integral_v<T>) {
            read_number(value, in, place);
        } else if constexpr (std::is_same_v<T, std::string>) {
            value = text(in, place);
        } else {
            Reader reader(in, place);
            fields(reader, value);
        }
    }
    template <class T>
    static void decode_into(std::vector<T>& values, const json& in, const std::string& place) {
        if (!in.is_array()) {
            throw WrongMessage(place + " must be a list");
        }
        values.clear();
        for (const json& element : in) {
            decode_into(values.emplace_back(), element, place + "[]");
        }
    }
    template <class T>
    static void decode_into(std::optional<T>& value, const json& in, const std::string& place) {
        value.reset();
        if (!in.is_null()) {
            decode_into(value.emplace(), in, place);
        }
    }
    static void decode_into(std::map<std::string, Epoch>& values, const json& in, const std::string& place) {
        if (!in.is_object()) {
            throw WrongMessage(place + " must be an object");
        }
        values.clear();
        for (const auto& [key, element] : in.items()) {
            read_number(values[key], element, place + "." + key);
        }
    }

    template <class T>
    static void read_number(T& value, const json& in, const std::string& place) {
        const bool fits = in.is_number_unsigned() ? std::in_range<T>(in.get<std::uint64_t>())
                                                  : in.is_number_integer() && std::in_range<T>(in.get<std::int64_t>());
        if (!fits) {
            throw WrongMessage(place + " must be a whole number in its range");
        }
        value = in.get<T>();
    }

    static const std::string& text(const json& in, const std::string& place) {
        if (!in.is_string()) {
            throw WrongMessage(place + " must be a text");
        }
        return in.get_ref<const std::string&>();
    }

    const json& in_;
    std::string place_;
};

template <class V>
void fields(V& v, LastMedium& m) {
    v("drive", m.drive), v("epoch", m.epoch), v("outcome", m.outcome), v("by_host", m.by_host);
    v.optional("wish", m.wish);
}
template <class V>
void fields(V& v, ObservedSlot& m) {
    v("slot", m.slot), v("kind", m.kind), v("state", m.state), v.nullable("drive", m.drive), v("epoch", m.epoch);
    v("host_locked", m.host_locked), v("error", m.error), v("last", m.last);
}
template <class V>
void fields(V& v, BladeObserved& m) {
    v("version", m.version), v("udc", m.udc), v("speed", m.speed), v("slots", m.slots);
}
template <class V>
void fields(V& v, BladeHello& m) {
    v("protocol", m.protocol), v("blade", m.blade), v.nullable("session", m.session), v("boot_id", m.boot_id);
    v("term", m.term), v("observed", m.observed);
}
template <class V>
void fields(V& v, Welcome& m) {
    v("session", m.session), v("term", m.term), v("ttl_ms", m.ttl_ms);
}
template <class V>
void fields(V& v, Refused& m) {
    v("reason", m.reason);
}
template <class V>
void fields(V& v, DesiredSlot& m) {
    v("slot", m.slot), v("drive", m.drive), v("epoch", m.epoch), v("access", m.access), v("kind", m.kind);
    v("size", m.size), v("eject", m.eject), v.optional("wish", m.wish);
}
template <class V>
void fields(V& v, Desired& m) {
    v("term", m.term), v("version", m.version), v("slots", m.slots);
}
template <class V>
void fields(V& v, Renew& m) {
    v("seq", m.seq);
}
template <class V>
void fields(V& v, Renewed& m) {
    v("seq", m.seq), v("ttl_ms", m.ttl_ms);
}
template <class V>
void fields(V& v, Heard& m) {
    v("seq", m.seq);
}
template <class V>
void fields(V& v, Admission& m) {
    v("drive", m.drive), v("blade", m.blade), v("mode", m.mode), v("epoch", m.epoch);
}
template <class V>
void fields(V& v, LocalUse& m) {
    v("drive", m.drive), v("epoch", m.epoch), v.optional("ending", m.ending);
}
template <class V>
void fields(V& v, DataPathHello& m) {
    v("protocol", m.protocol), v("boot_id", m.boot_id), v("term", m.term), v("floors", m.floors);
    v("admitted", m.admitted), v("local", m.local);
}
template <class V>
void fields(V& v, TableDrive& m) {
    v("name", m.name), v("source", m.source), v("kind", m.kind), v("read_only", m.read_only);
    v("generation", m.generation);
}
template <class V>
void fields(V& v, FenceOrder& m) {
    v("drive", m.drive), v("blade", m.blade), v("epoch", m.epoch);
}
template <class V>
void fields(V& v, Table& m) {
    v("term", m.term), v("version", m.version), v("drives", m.drives), v("admit", m.admit), v("fence", m.fence);
}
template <class V>
void fields(V& v, ObservedDrive& m) {
    v("name", m.name), v("generation", m.generation), v("state", m.state), v("size", m.size);
    v("block_size", m.block_size), v("error", m.error);
}
template <class V>
void fields(V& v, Fenced& m) {
    v("drive", m.drive), v("blade", m.blade), v("epoch", m.epoch), v("flushed", m.flushed), v("error", m.error);
}
template <class V>
void fields(V& v, Counters& m) {
    v("drive", m.drive), v("blade", m.blade), v("reads", m.reads), v("read_bytes", m.read_bytes);
    v("writes", m.writes), v("written_bytes", m.written_bytes), v.optional("errors", m.errors);
}
template <class V>
void fields(V& v, DataPathObserved& m) {
    v("version", m.version), v("drives", m.drives), v("admitted", m.admitted), v("fenced", m.fenced);
    v("counters", m.counters);
}
template <class V>
void fields(V& v, Probe& m) {
    v("id", m.id), v("name", m.name), v("source", m.source), v("kind", m.kind), v("read_only", m.read_only);
}
template <class V>
void fields(V& v, Probed& m) {
    v("id", m.id), v("ok", m.ok), v("size", m.size), v("kind", m.kind), v("read_only", m.read_only);
    v("notice", m.notice), v("error", m.error);
}
template <class V>
void fields(V& v, LocalAcquire& m) {
    v("id", m.id), v("drive", m.drive), v("mode", m.mode);
}
template <class V>
void fields(V& v, LocalAnswer& m) {
    v("id", m.id), v("granted", m.granted), v("epoch", m.epoch), v("error", m.error);
}
template <class V>
void fields(V& v, LocalRelease& m) {
    v("drive", m.drive), v("epoch", m.epoch);
}
template <class V>
void fields(V& v, Denied& m) {
    v("peer", m.peer), v("identity", m.identity), v("asked", m.asked), v("reason", m.reason);
}

// What bounds.h is about.
void check_length(std::string_view what, const std::string& text, std::size_t most) {
    if (text.size() > most) {
        throw WrongMessage(fmt::format("{} has {} bytes: at most {} are possible", what, text.size(), most));
    }
}

void check_bounds(const BladeObserved& observed) {
    check_length("observed.udc", observed.udc, longest_word);
    check_length("observed.speed", observed.speed, longest_word);
    std::set<int> numbers;
    for (const ObservedSlot& slot : observed.slots) {
        if (slot.slot < 0 || slot.slot >= most_slots || !numbers.insert(slot.slot).second) {
            throw WrongMessage(fmt::format("observed.slots[] has slot {} twice, or it is none: a blade has slots 0 to {} at most",
                                           slot.slot, most_slots - 1));
        }
        check_length("observed.slots[].drive", slot.drive, max_name_length);
        check_length("observed.slots[].error", slot.error, longest_sentence);
        if (slot.last) {
            check_length("observed.slots[].last.drive", slot.last->drive, max_name_length);
        }
    }
}

void check_bounds(const BladeHello& hello) {
    check_length("hello.blade", hello.blade, max_name_length);
    check_length("hello.session", hello.session, longest_word);
    check_length("hello.boot_id", hello.boot_id, longest_word);
    check_bounds(hello.observed);
}

// The value of "type", in the order of Message's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<Message>> type_names{
    "hello", "welcome", "refused",  "desired", "observed", "renew",         "renewed",      "heard",
    "hello", "table",   "observed", "probe",   "probed",   "local_acquire", "local_answer", "local_release",
    "denied",
};

// The alternatives that each link carries, both ways.
bool belongs_to(std::size_t alternative, Side side) {
    constexpr std::size_t refused = 2;
    constexpr std::size_t first_of_data_path = 8;
    return alternative == refused || (alternative < first_of_data_path) == (side == Side::blade);
}

template <std::size_t alternative = 0>
Message read_alternative(std::size_t wanted, const json& in) {
    if constexpr (alternative < std::variant_size_v<Message>) {
        if (alternative != wanted) {
            return read_alternative<alternative + 1>(wanted, in);
        }
        std::variant_alternative_t<alternative, Message> message;
        Reader reader(in, std::string(type_names[alternative]));
        fields(reader, message);
        if constexpr (requires { check_bounds(message); }) {
            check_bounds(message);
        }
        return message;
    } else {
        throw WrongMessage("a message of an unknown kind");
    }
}

}  // namespace

std::string_view to_string(SlotState state) {
    return words<SlotState>.at(static_cast<std::size_t>(state));
}
std::string_view to_string(Outcome outcome) {
    return words<Outcome>.at(static_cast<std::size_t>(outcome));
}
std::string_view to_string(DriveState state) {
    return words<DriveState>.at(static_cast<std::size_t>(state));
}

nlohmann::json encode(const Message& message) {
    json out = json::object();
    out["type"] = type_names.at(message.index());
    std::visit(
        [&](auto copy) {
            Writer writer(out);
            fields(writer, copy);
        },
        message);
    return out;
}

Result<Message> decode(const nlohmann::json& message, Side side) {
    try {
        const auto type = message.is_object() ? message.find("type") : message.end();
        if (!message.is_object() || type == message.end() || !type->is_string()) {
            throw WrongMessage("a message must be an object with a \"type\"");
        }
        for (std::size_t i = 0; i < type_names.size(); ++i) {
            if (type_names[i] == type->get_ref<const std::string&>() && belongs_to(i, side)) {
                return read_alternative(i, message);
            }
        }
        throw WrongMessage(
            fmt::format("a message of type {} does not belong on this link", quoted(type->get_ref<const std::string&>())));
    } catch (const WrongMessage& wrong) {
        return Error{EPROTO, wrong.what()};
    }
}

}  // namespace drivebay::protocol
