#include "fusefs/engine/medium_identity.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "lib/base/log.h"

namespace drivebay {

namespace {

namespace fs = std::filesystem;

constexpr int deepest_stack = 8;  // of dm on md on dm …

std::string lower_case(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c); });
    return out;
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
            out.push_back(static_cast<char>(value));
            i += 2;
        } else {
            out.push_back(text[i]);
        }
    }
    return out;
}

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<std::uint64_t> number_in(const fs::path& path) {
    const std::string line = first_line(path);
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), value);
    return parsed.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

std::optional<dev_t> device_in(const fs::path& path) {
    const std::string line = first_line(path);
    unsigned major_number = 0;
    unsigned minor_number = 0;
    const char* const end = line.data() + line.size();
    const auto first = std::from_chars(line.data(), end, major_number);
    if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') {
        return std::nullopt;
    }
    if (std::from_chars(first.ptr + 1, end, minor_number).ec != std::errc{}) {
        return std::nullopt;
    }
    return makedev(major_number, minor_number);
}

void add_file(const struct stat& facts, std::uint64_t begin, std::uint64_t end, MediumIdentity& identity) {
    MediumPart part;
    part.kind = MediumPart::Kind::file;
    part.begin = begin;
    part.end = end;
    part.device = facts.st_dev;
    part.inode = facts.st_ino;
    identity.parts.push_back(part);
}

// `folder`: the device's, under /sys/block or /sys/dev/block. A partition's folder lies inside its disk's.
void add_device(const fs::path& folder, dev_t device, bool backing, int depth, MediumIdentity& identity) {
    MediumPart part;
    part.kind = MediumPart::Kind::disk;
    part.backing = backing;
    part.device = device;
    fs::path disk = folder;
    if (fs::exists(folder / "partition")) {
        disk = folder.parent_path();
        part.device = device_in(disk / "dev").value_or(device);
        part.begin = number_in(folder / "start").value_or(0);
        const auto length = number_in(folder / "size");
        part.end = length ? part.begin + *length : UINT64_MAX;
    }
    identity.parts.push_back(part);
    if (const std::string file = first_line(disk / "loop" / "backing_file"); !file.empty()) {
        struct stat facts{};
        if (stat(file.c_str(), &facts) == 0) {
            const std::uint64_t shift = number_in(disk / "loop" / "offset").value_or(0) / 512;
            add_file(facts, shift + part.begin, part.end == UINT64_MAX ? part.end : shift + part.end, identity);
        }
    }
    std::error_code error;
    for (fs::directory_iterator slave(disk / "slaves", error), end; !error && slave != end && depth < deepest_stack;
         slave.increment(error)) {
        const fs::path real = fs::canonical(slave->path(), error);
        if (const auto under = device_in(real / "dev"); !error && under) {
            add_device(real, *under, true, depth + 1, identity);
        }
    }
}

bool same_bytes(const MediumPart& one, const MediumPart& other) {
    if (one.kind != other.kind || (one.backing && other.backing)) {
        return false;
    }
    if (one.kind == MediumPart::Kind::uri) {
        return one.uri == other.uri;
    }
    return one.device == other.device && one.inode == other.inode && one.begin < other.end && other.begin < one.end;
}

}  // namespace

bool overlaps(const MediumIdentity& one, const MediumIdentity& other) {
    return std::any_of(one.parts.begin(), one.parts.end(), [&](const MediumPart& part) {
        return std::any_of(other.parts.begin(), other.parts.end(),
                           [&](const MediumPart& against) { return same_bytes(part, against); });
    });
}

bool is_uri(std::string_view source) {
    const std::size_t colon = source.find("://");
    return colon != std::string_view::npos && colon > 0 && source.find('/') > colon;
}

Result<std::string> normalised_uri(std::string_view uri) {
    const std::size_t colon = uri.find("://");
    const std::string scheme = lower_case(uri.substr(0, colon));
    const bool unix_socket = scheme == "nbd+unix" || scheme == "nbds+unix";
    if (!unix_socket && scheme != "nbd" && scheme != "nbds") {
        return Error{EINVAL, "the source " + log::quoted(uri) + " has a scheme that drivebay does not know; give a path, " +
                                 "nbd://HOST/EXPORT, nbds://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH"};
    }
    std::string_view rest = uri.substr(colon + 3);
    rest = rest.substr(0, rest.find('#'));
    std::string_view query;
    if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
        query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    const std::size_t slash = rest.find('/');
    std::string_view authority = rest.substr(0, slash);
    const std::string_view path = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
        authority = authority.substr(at + 1);
    }
    std::vector<std::string> terms;
    while (!query.empty()) {
        const std::size_t end = query.find_first_of("&;");
        const std::string_view term = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
        // TLS settings say how the medium is reached, not which it is.
        if (!term.empty() && term.substr(0, 4) != "tls-") {
            terms.push_back(percent_decoded(term));
        }
    }
    std::sort(terms.begin(), terms.end());
    std::string host = lower_case(authority);
    if (unix_socket) {
        host.clear();
    } else {
        if (host.empty() || host.front() == ':') {
            return Error{EINVAL, "the source " + log::quoted(uri) + " names no host; write nbd://HOST[:PORT]/EXPORT"};
        }
        const std::size_t port = host.rfind(':');
        const bool has_port = port != std::string::npos && host.find(']', port) == std::string::npos;
        if (!has_port) {
            host += ":10809";
        } else if (port + 1 == host.size()) {
            host += "10809";
        }
    }
    std::string out = (unix_socket ? "nbd+unix://" : "nbd://") + host + "/" + percent_decoded(path);
    for (std::size_t i = 0; i < terms.size(); ++i) {
        out += (i == 0 ? "?" : "&") + terms[i];
    }
    return out;
}

Result<MediumIdentity> identify_medium(const std::string& source) {
    MediumIdentity identity;
    if (is_uri(source)) {
        Result<std::string> uri = normalised_uri(source);
        if (!uri) {
            return uri.error();
        }
        MediumPart part;
        part.kind = MediumPart::Kind::uri;
        part.uri = std::move(*uri);
        identity.parts.push_back(part);
        return identity;
    }
    struct stat facts{};
    if (stat(source.c_str(), &facts) != 0) {
        return system_error(errno, "the source " + log::quoted(source) + " cannot be found");
    }
    if (S_ISBLK(facts.st_mode)) {
        const std::string link = "/sys/dev/block/" + std::to_string(major(facts.st_rdev)) + ":" +
                                 std::to_string(minor(facts.st_rdev));
        std::error_code error;
        const fs::path folder = fs::canonical(link, error);
        add_device(error ? fs::path(link) : folder, facts.st_rdev, false, 0, identity);
    } else {
        add_file(facts, 0, UINT64_MAX, identity);
    }
    return identity;
}

}  // namespace drivebay
