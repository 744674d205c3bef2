#include "fusefs/fuse_front/fuse_session.h"

#include <array>
#include <cerrno>
#include <utility>

#include "fusefs/fuse_front/fuse_channel.h"
#include "fusefs/fuse_front/fuse_front.h"
#include "fusefs/fuse_front/fuse_mount.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

// The first minor version of the protocol with FOPEN_PARALLEL_DIRECT_WRITES; older kernels do not look at the bit.
constexpr unsigned parallel_writes_since = 38;
constexpr unsigned parallel_requests = 256;

struct SessionDestroyer {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};

void on_init(void* user_data, fuse_conn_info* connection) {
    FuseFront& front = *static_cast<FuseFront*>(user_data);
    connection->max_write = FuseChannel::largest_request;
    connection->max_readahead = 0;
    connection->max_background = parallel_requests;
    connection->congestion_threshold = parallel_requests * 3 / 4;
    // Writeback: dirty pages would carry an old lease's data. Splice: our buffers are aligned, pipes are not.
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                               FUSE_CAP_SPLICE_MOVE);
    front.parallel_direct_writes = connection->proto_minor >= parallel_writes_since;
    if (front.on_init) {
        front.on_init();
    }
}

fuse_lowlevel_ops all_operations() {
    fuse_lowlevel_ops operations{};
    operations.init = on_init;
    fuse_lookup_operations(operations);
    fuse_attribute_operations(operations);
    fuse_xattr_operations(operations);
    fuse_open_operations(operations);
    fuse_seek_operations(operations);
    fuse_directory_operations(operations);
    return operations;
}

}  // namespace

struct FuseSession::Impl {
    Impl(EventLoop& the_loop, Catalogue& catalogue, FuseSettings the_settings)
        : loop(the_loop), settings(std::move(the_settings)), front(catalogue, settings.layout) {}

    EventLoop& loop;
    const FuseSettings settings;
    FuseFront front;
    FuseChannel::Shared shared{front.handles,
                               [this](std::span<const std::byte> message) { serve(message); },
                               [this] { unmounted(); }};
    std::unique_ptr<fuse_session, SessionDestroyer> session;  // owns the mounted descriptor
    std::unique_ptr<FuseChannel> channel;
    std::string path;  // of the mount point, whatever folder the program works in by now
    bool mounted = false;
    std::function<void()> ended;

    Status start() {
        Result<FuseMount> mount =
            fuse_mount({settings.mount_point, settings.source, settings.read_only, settings.allow_other});
        if (!mount) {
            return mount.error();
        }
        mounted = true;
        path = mount->path;
        std::array<char*, 1> words = {const_cast<char*>("drivebayfs")};
        fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), words.data());
        static const fuse_lowlevel_ops operations = all_operations();
        session.reset(fuse_session_new(&arguments, &operations, sizeof operations, &front));
        fuse_opt_free_args(&arguments);
        const int device = mount->device.get();
        // libfuse takes over a descriptor that is mounted already by this name (libfuse 3.3, "mount point /dev/fd/N").
        if (!session || fuse_session_mount(session.get(), ("/dev/fd/" + std::to_string(device)).c_str()) != 0) {
            detach();
            return Error{EIO, "libfuse cannot begin a session on " + settings.mount_point};
        }
        (void)mount->device.release();
        channel = FuseChannel::create(loop, device, shared);
        if (!channel) {
            detach();
            return Error{ENOMEM, "no memory to serve " + settings.mount_point};
        }
        channel->start();
        return success();
    }

    void serve(std::span<const std::byte> message) {
        fuse_buf buffer{};
        buffer.mem = const_cast<std::byte*>(message.data());
        buffer.size = message.size();
        fuse_session_process_buf(session.get(), &buffer);
    }

    void unmounted() {
        mounted = false;
        if (ended) {
            std::exchange(ended, {})();
        }
    }

    void detach() {
        if (std::exchange(mounted, false)) {
            if (Status detached = fuse_detach(path); !detached) {
                log::warning("cannot unmount", {{"error", detached.error().message}});
            }
        }
    }

    // Once what libfuse decodes and what the channel serves by itself is answered.
    void when_all_answered(std::function<void()> then) {
        const auto channel_idle = [this, then = std::move(then)] {
            if (front.unanswered == 0) {
                return then();
            }
            front.on_all_answered = then;
        };
        channel ? channel->stop(channel_idle) : channel_idle();
    }

    // Handles go last: their views end the data path's interest.
    void finish() {
        channel.reset();
        front.handles.clear();
        front.listings.clear();
        session.reset();
    }
};

FuseSession::FuseSession(EventLoop& loop, Catalogue& catalogue, FuseSettings settings)
    : impl_(std::make_unique<Impl>(loop, catalogue, std::move(settings))) {}

FuseSession::~FuseSession() {
    impl_->detach();
    impl_->finish();
}

Status FuseSession::start(std::function<void()> ready, std::function<void()> ended) {
    impl_->front.on_init = std::move(ready);
    impl_->ended = std::move(ended);
    return impl_->start();
}

void FuseSession::stop(std::function<void()> stopped) {
    impl_->ended = {};
    impl_->detach();
    impl_->when_all_answered([this, stopped = std::move(stopped)] {
        // Never from inside an answer: libfuse still holds the session's lock there.
        impl_->loop.post([this, stopped] {
            impl_->finish();
            stopped();
        });
    });
}

}  // namespace drivebay
