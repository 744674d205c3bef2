// drivebayfs: the drives as files, on the management module and on a blade. See doc/DESIGN.md.
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <thread>

#include "fusefs/blade/blade_catalogue.h"
#include "fusefs/control/data_path.h"
#include "fusefs/control/drain_service.h"
#include "fusefs/fuse_front/fuse_session.h"
#include "fusefs/keeper/fuse_mount.h"
#include "fusefs/keeper/keeper.h"
#include "fusefs/keeper/kept_session.h"
#include "fusefs/settings.h"
#include "lib/base/log.h"
#include "lib/program/daemon.h"
#include "lib/program/systemd.h"

namespace drivebay {

namespace {

// Longer than the pause limit helps nobody: whoever stops the program stops waiting, too.
constexpr Duration flush_limit = std::chrono::seconds(5);

// One of the two roles, put together. It lives on the main thread until run(), then its parts on the loop's and the
// reactor's.
class Drivebayfs {
public:
    Drivebayfs(const FusefsSettings& settings, const MountRequest& mount) : settings_(settings), mount_(mount) {}

    int run(HandedOver given, program::Readiness& starter);

private:
    Status start_management(const KeptLayout& kept);
    Status start_blade(KeptLayout& kept);
    Status start_front(HandedOver given);
    void stop(const std::string& reason);
    void stop_behind_front();
    void tell_keeper(char word) { (void)!write(keeper_.get(), &word, 1); }

    const FusefsSettings& settings_;
    const MountRequest& mount_;
    EventLoop loop_;
    rpc::Reactor reactor_;
    std::optional<DataPath> data_path_;
    std::optional<BladeCatalogue> blade_;
    std::optional<DrainService> service_;
    std::optional<FuseSession> front_;
    program::Readiness readiness_;
    UniqueFd keeper_;  // what is said there: keeper.h
    bool stopping_ = false;
};

tls::Files tls_files(const FusefsSettings& settings) {
    return {settings.tls_certificate, settings.tls_key, settings.tls_client_ca, ""};
}

Status make_folder(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    return error ? Status(system_error(error.value(), fmt::format("cannot make the folder {}", folder.string())))
                 : success();
}

// The local leases of files that were open before this process, and are so still.
LocalEpochs open_here(const KeptLayout& kept) {
    LocalEpochs found;
    for (const KeptHandle& handle : kept.handle) {
        if (handle.number.load() == 0) {
            continue;
        }
        const auto node = std::ranges::find_if(
            kept.node, [&](const KeptNode& candidate) { return candidate.number.load() == handle.node; });
        if (node != std::end(kept.node) && name_of(node->blade).empty()) {
            found.emplace(name_of(node->drive), handle.epoch);
        }
    }
    return found;
}

Status Drivebayfs::start_management(const KeptLayout& kept) {
    DataPathSettings settings;
    settings.state_dir = settings_.state_dir;
    settings.trust_reconnect = settings_.trust_reconnect;
    settings.policies = settings_.drive_policies();
    settings.tls = tls_files(settings_);
    settings.tls_required = settings_.tls_required;
    settings.pki = settings_.security == "none" ? "" : settings_.pki;
    settings.open_here = open_here(kept);
    settings.nbd_connections = static_cast<std::size_t>(settings_.nbd_connections);
    std::vector<std::string> listeners = settings_.nbd_listen;
    if (!settings_.nbd_unix.empty()) {
        listeners.push_back(settings_.nbd_unix);
    }
    for (const std::string& text : listeners) {
        Result<rpc::Endpoint> listener = rpc::parse_endpoint(text, default_nbd_port);
        if (!listener) {
            return listener.error();
        }
        settings.nbd_listeners.push_back(*listener);
    }
    Result<rpc::Endpoint> arbiter = rpc::parse_endpoint(settings_.arbiter);
    if (!arbiter) {
        return arbiter.error();
    }
    settings.arbiter = *arbiter;
    if (Status folder = make_folder(settings_.state_dir); !folder) {
        return folder;
    }
    data_path_.emplace(loop_, reactor_, std::move(settings));
    return data_path_->start();
}

Status Drivebayfs::start_blade(KeptLayout& kept) {
    const Result<rpc::Endpoint> management = management_endpoint(settings_, mount_);
    if (!management) {
        return management.error();
    }
    BladeSettings settings;
    settings.blade = settings_.blade;
    settings.management = *management;
    settings.certificates = management->is_unix() ? "" : settings_.certificates_in_use();
    settings.pause_limit = std::chrono::milliseconds(settings_.pause_limit_ms);
    blade_.emplace(loop_, kept, std::move(settings));
    return success();
}

Status Drivebayfs::start_front(HandedOver given) {
    FuseSettings settings;
    settings.layout = settings_.is_blade() ? FuseTree::Layout::blade : FuseTree::Layout::management;
    settings.pause_limit = std::chrono::milliseconds(settings_.pause_limit_ms);
    settings.refuse_suspects = given.suspects;
    Catalogue& catalogue = settings_.is_blade() ? *blade_ : data_path_->catalogue();
    keeper_.reset(fcntl(given.ready.get(), F_DUPFD_CLOEXEC, 0));
    readiness_ = program::Readiness(std::move(given.ready), given.in_background);
    front_.emplace(loop_, catalogue, std::move(given.session), settings);
    return front_->start(
        [this] {
            log::info("mounted", {{"mount_point", mount_.mount_point}, {"role", settings_.role}});
            readiness_.ready(fmt::format("mounted on {}", mount_.mount_point));
        },
        [this] { stop("unmounted"); });
}

// Front to back: nothing new is asked, what was asked is answered, what was written is flushed.
void Drivebayfs::stop(const std::string& reason) {
    if (std::exchange(stopping_, true)) {
        return;
    }
    log::info("ending", {{"reason", reason}});
    if (blade_) {
        blade_->give_up_after(flush_limit);
    }
    tell_keeper(said_ending);
    front_->stop([this] { stop_behind_front(); });
}

void Drivebayfs::stop_behind_front() {
    const auto end = [this] {
        loop_.stop();
        reactor_.stop();
    };
    if (blade_) {
        blade_->stop(end);
    } else {
        data_path_->stop(end);
    }
}

int Drivebayfs::run(HandedOver given, program::Readiness& starter) {
    const auto refuse = [](const Status& status) {
        log::error(status.error().message);
        return 1;
    };
    const Result<rpc::Endpoint> socket = rpc::parse_endpoint(settings_.socket);
    if (!socket) {
        return refuse(socket.error());
    }
    if (Status folder = make_folder(std::filesystem::path(socket->path).parent_path()); !folder) {
        return refuse(folder);
    }
    KeptLayout& kept = given.session.memory.layout();
    if (Status started = settings_.is_blade() ? start_blade(kept) : start_management(kept); !started) {
        return refuse(started);
    }
    DrainSource& source = settings_.is_blade() ? *blade_ : data_path_->drain_source();
    service_.emplace(reactor_, loop_, source);
    if (Status listening = service_->listen(*socket); !listening) {
        return refuse(listening);
    }
    reactor_.on_signals(
        [this, &starter](int) {
            starter.stopping();
            loop_.post([this] { stop("asked to end"); });
        },
        [&starter] { starter.reload([] {}); });
    if (Status mounted = start_front(std::move(given)); !mounted) {
        return refuse(mounted);
    }
    // A loop that hangs is silent, too.
    const program::Watchdog watchdog(
        reactor_, server_beat_interval(),
        [this](const auto& alive) { loop_.post([this, alive] { reactor_.post(alive); }); },
        [this] { tell_keeper(said_alive); });
    std::thread data([this] { loop_.run(); });
    pthread_setname_np(data.native_handle(), "data");
    reactor_.run();
    data.join();
    return 0;
}

// Mounts, and becomes the keeper of the mount.
int mount_and_keep(const MountRequest& request, KeeperSettings keeper, program::Readiness& readiness) {
    const auto refuse = [](const Error& error) {
        log::error(error.message);
        return 1;
    };
    Result<KeptMemory> memory = KeptMemory::create();
    if (!memory) {
        return refuse(memory.error());
    }
    Result<FuseMount> mount =
        fuse_mount({request.mount_point, request.source, request.read_only, request.allow_other});
    if (!mount) {
        return refuse(mount.error());
    }
    keeper.in_background = readiness.in_background();
    KeptSession session{std::move(mount->device), std::move(mount->path), std::move(*memory)};
    return keep(std::move(session), keeper, readiness);
}

int run(int argc, char** argv) {
    std::vector<std::string> arguments(argv, argv + argc);
    // Whatever the configuration says: an upgrade asks both programs.
    if (arguments.size() == 2 && arguments[1] == "--kept-layout") {
        fmt::print("{} {}\n", KeptLayout::version, sizeof(KeptLayout));
        return 0;
    }
    KeeperSettings keeper;
    keeper.program = std::filesystem::read_symlink("/proc/self/exe").string();
    keeper.arguments = arguments;
    keeper.folder = std::filesystem::current_path().string();
    std::optional<Result<HandedOver>> given = handed_over();
    Result<MountRequest> mount = take_mount_options(arguments);
    if (!mount) {
        fmt::print(stderr, "drivebayfs: {}\n", mount.error().message);
        return 2;
    }
    if (!mount->config.empty()) {
        arguments.insert(arguments.begin() + 1, {"--config", mount->config});
    }
    std::vector<char*> words;
    for (std::string& argument : arguments) {
        words.push_back(argument.data());
    }

    FusefsSettings settings;
    config::Schema schema = settings.schema();
    program::Daemon daemon;
    daemon.name = "drivebayfs";
    daemon.summary = "Shows a management module's drives as files, to this machine and to its blades.";
    daemon.default_config = "/etc/drivebay/fusefs.cfg";
    daemon.schema = &schema;
    std::string options_shown;
    bool kept_layout_shown = false;
    daemon.add_options = [&](CLI::App& app) {
        app.add_option("SOURCE", mount->source, "drivebay; on a blade the management module's address, HOST[:PORT]");
        app.add_option("MOUNTPOINT", mount->mount_point, "an existing folder");
        app.add_flag("--kept-layout", kept_layout_shown,
                     "alone: print which memory of another drivebayfs' mount this program can take over, and exit");
        app.add_option(
            "-o", options_shown,
            "mount options: config=PATH, role=management|blade, blade=NAME, allow_other, ro, and mount's own");
    };
    daemon.check = [&]() -> Status {
        if (!mount->role.empty() && mount->role != "management" && mount->role != "blade") {
            return Error{EINVAL, fmt::format("role={} is neither management nor blade", mount->role)};
        }
        settings.role = mount->role.empty() ? settings.role : mount->role;
        settings.blade = mount->blade.empty() ? settings.blade : mount->blade;
        // Before the program goes to the background, and to the root folder.
        if (!mount->mount_point.empty()) {
            mount->mount_point = std::filesystem::absolute(mount->mount_point).string();
        }
        if (Status fits = settings.check(); !fits) {
            return fits;
        }
        if (settings.is_blade() && !mount->source.empty()) {
            const auto management = management_endpoint(settings, *mount);
            return management ? success() : Status(management.error());
        }
        if (settings.tls_certificate.empty()) {
            return success();
        }
        const auto tls = tls::Context::server(tls_files(settings), tls::Context::Clients::anybody);
        return tls ? success() : Status(tls.error());
    };
    daemon.run = [&](program::Readiness& readiness) {
        if (mount->source.empty() || mount->mount_point.empty()) {
            fmt::print(stderr, "drivebayfs: name a source and a mount point: drivebayfs {} /srv/drivebay\n",
                       settings.is_blade() ? "MANAGEMENT-MODULE" : "drivebay");
            return 2;
        }
        if (!given) {
            return mount_and_keep(*mount, keeper, readiness);
        }
        if (!*given) {
            log::error(given->error().message);
            return 1;
        }
        return Drivebayfs(settings, *mount).run(std::move(**given), readiness);
    };
    return program::run_daemon(static_cast<int>(words.size()), words.data(), daemon);
}

}  // namespace

}  // namespace drivebay

int main(int argc, char** argv) {
    try {
        return drivebay::run(argc, argv);
    } catch (const std::exception& error) {
        drivebay::log::error("ended by a failure in its set-up", {{"error", error.what()}});
        return 1;
    }
}
