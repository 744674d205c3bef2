#include "fusefs/nbd_client/nbd_negotiation.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

namespace drivebay {

namespace {

constexpr Duration slice = std::chrono::milliseconds(50);
constexpr Duration goodbye_limit = std::chrono::milliseconds(500);
constexpr std::uint32_t largest_payload = 1 << 20;  // what a FUSE request holds; every server takes it

// libnbd's messages begin with the name of the function that failed, which says nothing to a user.
std::string last_message() {
    const char* const text = nbd_get_error();
    std::string message = text == nullptr ? "unknown error" : text;
    if (const auto colon = message.find(": "); message.starts_with("nbd_") && colon != std::string::npos) {
        message.erase(0, colon + 2);
    }
    return message;
}

// The user may have put a password into the URI: it is for the server, not for a log.
std::string shown(const std::string& uri) {
    const auto authority = uri.find("://");
    const auto at = authority == std::string::npos ? authority : uri.find('@', authority);
    const auto path = authority == std::string::npos ? authority : uri.find('/', authority + 3);
    if (at == std::string::npos || (path != std::string::npos && at > path)) {
        return uri;
    }
    return uri.substr(0, authority + 3) + uri.substr(at + 1);
}

// libnbd encrypts without looking at the server's certificate where it is told of no authority (lib/crypto.c): that
// would be a promise that is not kept, so one must be named, or be where libnbd looks for root's.
constexpr const char* default_authority = "/etc/pki/libnbd";

Status trust_somebody(nbd_handle* handle, const std::string& uri) {
    if (!uri.starts_with("nbds://") || uri.find("tls-certificates=") != std::string::npos ||
        uri.find("tls-psk-file=") != std::string::npos) {
        return success();
    }
    if (access((std::string(default_authority) + "/ca-cert.pem").c_str(), R_OK) != 0) {
        return Error{EINVAL,
                     fmt::format("{}: nobody says which certificates to trust: add ?tls-certificates=FOLDER to the "
                                 "URI (a folder with ca-cert.pem), or ?tls-psk-file=FILE, or put ca-cert.pem into {}",
                                 shown(uri), default_authority)};
    }
    nbd_set_tls_certificates(handle, default_authority);
    return success();
}

int keep_answer(void* user_data, int* error) {
    *static_cast<int*>(user_data) = *error;
    return 1;
}

int keep_name(void* user_data, const char* name, const char*) {
    static_cast<std::vector<std::string>*>(user_data)->emplace_back(name);
    return 0;
}

// Fails silently on a Unix socket, which needs none of it.
void notice_cut_links(int fd) {
    const auto set = [fd](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 1);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 4000);
}

}  // namespace

void read_description(std::string_view text, NbdExport& into) {
    constexpr std::string_view head = "drivebay ";
    if (!text.starts_with(head)) {
        return;
    }
    text.remove_prefix(head.size());
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        const std::string_view value = word.substr(std::min(word.size(), word.find('=') + 1));
        if (word.starts_with("boot=")) {
            into.boot_id = value;
        } else if (word.starts_with("epoch=")) {
            Epoch epoch = 0;
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), epoch);
            into.epoch = error == std::errc() && end == value.data() + value.size() ? epoch : 0;
        } else if (word.starts_with("kind=")) {
            into.kind = parse_drive_kind(value).value_or(DriveKind::disk);
        }
    }
}

Status check_nbd_uri(const std::string& uri) {
    constexpr std::array<std::string_view, 3> schemes = {"nbd://", "nbds://", "nbd+unix://"};
    if (std::none_of(schemes.begin(), schemes.end(),
                     [&](std::string_view scheme) { return uri.starts_with(scheme); })) {
        return Error{EINVAL, fmt::format("\"{}\" is no source that drivebay can reach: a remote drive is named as "
                                         "nbd://HOST[:PORT]/EXPORT, nbds://HOST[:PORT]/EXPORT or "
                                         "nbd+unix:///EXPORT?socket=PATH",
                                         shown(uri))};
    }
    if (uri.find('\0') != std::string::npos) {
        return Error{EINVAL, "an NBD URI cannot hold a NUL character"};
    }
    return success();
}

std::string uri_escape(std::string_view text) {
    std::string escaped;
    for (const unsigned char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '.' || c == '_' || c == '~' || c == '/';
        escaped += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
    }
    return escaped;
}

std::string with_export_suffix(const std::string& uri, std::string_view suffix) {
    std::string changed = uri;
    changed.insert(std::min(uri.find('?'), uri.size()), uri_escape(suffix));
    return changed;
}

NbdNegotiation::NbdNegotiation(NbdHandle handle, std::string uri, NbdPatience patience)
    : handle_(std::move(handle)), uri_(std::move(uri)), patience_(std::move(patience)) {}

Error NbdNegotiation::failure(int code, const std::string& what) const {
    return Error{code == 0 ? EIO : code, fmt::format("{}: {}", shown(uri_), what)};
}

// Until the connection is open for options or for requests.
Status NbdNegotiation::wait(Instant until) {
    nbd_handle* const handle = handle_.get();
    while (nbd_aio_is_connecting(handle) == 1) {
        const Instant now = BootClock::now();
        if (*patience_.cancelled) {
            return failure(ECANCELED, "the attempt to connect was ended");
        }
        if (now >= until) {
            return failure(ETIMEDOUT, "the server does not answer");
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(std::min<Duration>(slice, until - now));
        if (nbd_poll(handle, std::max<int>(1, static_cast<int>(left.count()))) < 0) {
            break;
        }
    }
    if (nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1) {
        const int code = nbd_get_errno();
        return failure(code == ENOENT || code == 0 ? ECONNREFUSED : code, last_message());
    }
    return success();
}

Result<NbdNegotiation> NbdNegotiation::begin(const std::string& uri, NbdPatience patience) {
    if (Status fit = check_nbd_uri(uri); !fit) {
        return fit.error();
    }
    NbdNegotiation negotiation(NbdHandle(nbd_create()), uri, std::move(patience));
    nbd_handle* const handle = negotiation.handle_.get();
    if (handle == nullptr) {
        return negotiation.failure(ENOMEM, last_message());
    }
    if (Status trusted = trust_somebody(handle, uri); !trusted) {
        return trusted.error();
    }
    // Buffers need no clearing before a read: the drive fails the whole request if any of it failed.
    nbd_set_pread_initialize(handle, false);
    nbd_set_full_info(handle, true);
    nbd_set_opt_mode(handle, true);
    nbd_set_uri_allow_transports(handle, LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX);
    nbd_set_uri_allow_local_file(handle, true);
    if (nbd_aio_connect_uri(handle, uri.c_str()) != 0) {
        const int code = nbd_get_errno();
        return negotiation.failure(code == ENOENT || code == 0 ? EINVAL : code, last_message());
    }
    // libnbd does not tell the connection from the handshake; what counts is that the server answers in time.
    if (Status open = negotiation.wait(negotiation.patience_.connect_until); !open) {
        return open.error();
    }
    return negotiation;
}

Result<std::vector<std::string>> NbdNegotiation::list() {
    std::vector<std::string> names;
    int code = 0;
    if (nbd_aio_opt_list(handle_.get(), {keep_name, &names, nullptr}, {keep_answer, &code, nullptr}) != 0) {
        return failure(nbd_get_errno(), last_message());
    }
    if (Status answered = wait(patience_.handshake_until); !answered) {
        return answered.error();
    }
    if (code != 0) {
        return failure(code, fmt::format("the server does not list its exports: {}", last_message()));
    }
    return names;
}

Result<NbdExport> NbdNegotiation::info(const std::string& export_name) {
    int code = 0;
    if (nbd_set_export_name(handle_.get(), export_name.c_str()) != 0 ||
        nbd_aio_opt_info(handle_.get(), {keep_answer, &code, nullptr}) != 0) {
        return failure(nbd_get_errno(), last_message());
    }
    if (Status answered = wait(patience_.handshake_until); !answered) {
        return answered.error();
    }
    if (code != 0) {
        return failure(code, fmt::format("export {}: {}", export_name, last_message()));
    }
    return read_export();
}

Result<NbdExport> NbdNegotiation::go() {
    if (nbd_aio_is_ready(handle_.get()) != 1) {  // an old server may have passed by the negotiation
        int code = 0;
        // libnbd asks for it before it goes; a server that has no contexts is no worse for it.
        nbd_add_meta_context(handle_.get(), LIBNBD_CONTEXT_BASE_ALLOCATION);
        if (nbd_aio_opt_go(handle_.get(), {keep_answer, &code, nullptr}) != 0) {
            return failure(nbd_get_errno(), last_message());
        }
        if (Status answered = wait(patience_.handshake_until); !answered) {
            return answered.error();
        }
        if (code == ENOENT) {
            return failure(ENOENT, "the server has no such export");
        }
        if (code != 0 || nbd_aio_is_ready(handle_.get()) != 1) {
            return failure(code, fmt::format("the server refuses the export: {}", last_message()));
        }
    }
    notice_cut_links(nbd_aio_get_fd(handle_.get()));
    return read_export();
}

Result<NbdExport> NbdNegotiation::read_export() {
    nbd_handle* const handle = handle_.get();
    const std::int64_t size = nbd_get_size(handle);
    if (size < 0) {
        return failure(nbd_get_errno(), last_message());
    }
    NbdExport found;
    found.geometry.size = static_cast<std::uint64_t>(size);
    found.geometry.read_only = nbd_is_read_only(handle) == 1;
    found.geometry.rotational = nbd_is_rotational(handle) == 1;
    found.can_flush = nbd_can_flush(handle) == 1;
    found.can_fua = nbd_can_fua(handle) == 1;
    found.can_trim = nbd_can_trim(handle) == 1;
    found.can_zero = nbd_can_zero(handle) == 1;
    found.can_cache = nbd_can_cache(handle) == 1;
    found.can_block_status = nbd_can_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    const std::int64_t minimum = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
    const std::int64_t maximum = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
    if (minimum > 0) {
        found.minimum_block = static_cast<std::uint32_t>(minimum);
    }
    found.maximum_payload =
        maximum > 0 ? static_cast<std::uint32_t>(std::min<std::int64_t>(maximum, largest_payload)) : largest_payload;
    found.geometry.block_size = std::max<std::uint32_t>(512, found.minimum_block);
    if (char* const description = nbd_get_export_description(handle)) {
        read_description(description, found);
        std::free(description);
    }
    return found;
}

void NbdNegotiation::end() {
    if (nbd_aio_is_negotiating(handle_.get()) == 1 && nbd_aio_opt_abort(handle_.get()) == 0) {
        (void)wait(std::min(patience_.handshake_until, BootClock::now() + goodbye_limit));
    }
    handle_.reset();
}

NbdHandle NbdNegotiation::take() {
    return std::move(handle_);
}

}  // namespace drivebay
