#include "lib/protocol/types.h"

#include <charconv>

namespace drivebay {
namespace {

// A whole positive number, written in digits alone.
std::optional<std::uint64_t> positive(std::string_view digits) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size() || number == 0) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

std::string_view to_string(Mode mode) { return mode == Mode::read ? "read" : "write"; }

std::string_view to_string(DriveKind kind) { return kind == DriveKind::disk ? "disk" : "cdrom"; }

std::optional<Mode> parse_mode(std::string_view text) {
    if (text == "read") {
        return Mode::read;
    }
    return text == "write" ? std::optional(Mode::write) : std::nullopt;
}

std::optional<DriveKind> parse_drive_kind(std::string_view text) {
    if (text == "disk") {
        return DriveKind::disk;
    }
    return text == "cdrom" ? std::optional(DriveKind::cdrom) : std::nullopt;
}

std::optional<DriveReference> parse_drive_reference(std::string_view text) {
    const std::size_t at = text.find('@');
    DriveReference reference{std::string(text.substr(0, at)), 0, 0};
    if (reference.drive.empty()) {
        return std::nullopt;
    }
    if (at == std::string_view::npos) {
        return reference;
    }
    const std::string_view numbers = text.substr(at + 1);
    const std::size_t hash = numbers.find('#');
    const std::optional<std::uint64_t> epoch = positive(numbers.substr(0, hash));
    if (!epoch) {
        return std::nullopt;
    }
    reference.epoch = *epoch;
    if (hash != std::string_view::npos) {
        const std::optional<std::uint64_t> instance = positive(numbers.substr(hash + 1));
        if (!instance) {
            return std::nullopt;
        }
        reference.instance = *instance;
    }
    return reference;
}

}  // namespace drivebay
