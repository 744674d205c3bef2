#include "fusefs/fuse_front/fuse_session.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "fusefs/fuse_front/fuse_front.h"
#include "fusefs/fuse_front/fuse_mount.h"
#include "lib/base/log.h"

namespace drivebay {

namespace {

constexpr unsigned largest_request = 1 << 20;
// What libfuse 3.14 reads at once (lib/fuse_lowlevel.c, FUSE_MAX_MAX_PAGES and FUSE_BUFFER_HEADER_SIZE).
constexpr std::size_t pages_at_once = 256;
constexpr std::size_t header_room = 4096;
// A write's data follow struct fuse_in_header and struct fuse_write_in (include/uapi/linux/fuse.h): received from here
// before a page, the data begin on the page, and go to an O_DIRECT drive as they are.
constexpr std::size_t write_header = 40 + 40;
// The first minor version of the protocol with FOPEN_PARALLEL_DIRECT_WRITES; older kernels do not look at the bit.
constexpr unsigned parallel_writes_since = 38;
constexpr unsigned parallel_requests = 256;
constexpr int requests_a_round = 32;

struct SessionDestroyer {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};

void on_init(void* user_data, fuse_conn_info* connection) {
    FuseFront& front = *static_cast<FuseFront*>(user_data);
    connection->max_write = largest_request;
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
    fuse_read_write_operations(operations);
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
    std::unique_ptr<fuse_session, SessionDestroyer> session;
    int device = -1;   // the session's
    std::string path;  // of the mount point, whatever folder the program works in by now
    bool mounted = false;
    bool watched = false;
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
        device = mount->device.get();
        // libfuse takes over a descriptor that is mounted already by this name (libfuse 3.3, "mount point /dev/fd/N").
        if (!session || fuse_session_mount(session.get(), ("/dev/fd/" + std::to_string(device)).c_str()) != 0) {
            (void)fuse_detach(path);
            mounted = false;
            return Error{EIO, "libfuse cannot begin a session on " + settings.mount_point};
        }
        (void)mount->device.release();
        loop.add(device, EPOLLIN, [this](std::uint32_t) { serve(); });
        watched = true;
        return success();
    }

    // Reads and runs what the kernel has for us, up to a bound, so that completions get their turn.
    void serve() {
        for (int i = 0; i < requests_a_round && watched; ++i) {
            const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
            if (!front.received) {
                front.received = front.buffers.take(page + pages_at_once * page + header_room);
                if (!front.received) {
                    return log::error("no memory for a request of the kernel");
                }
            }
            fuse_buf buffer{};
            buffer.mem = front.received.data() + page - write_header;
            const int got = fuse_session_receive_buf(session.get(), &buffer);
            if (got == -EAGAIN || got == -EINTR) {
                return;
            }
            if (got > 0) {
                fuse_session_process_buf(session.get(), &buffer);
            }
            if (fuse_session_exited(session.get()) || got <= 0) {
                mounted = false;
                unwatch();
                if (ended) {
                    std::exchange(ended, {})();
                }
                return;
            }
        }
    }

    void unwatch() {
        if (std::exchange(watched, false)) {
            loop.remove(device);
        }
    }

    void detach() {
        if (std::exchange(mounted, false)) {
            if (Status detached = fuse_detach(path); !detached) {
                log::warning("cannot unmount", {{"error", detached.error().message}});
            }
        }
    }

    // Handles go last: their views end the data path's interest.
    void finish() {
        front.handles.clear();
        front.listings.clear();
        session.reset();
    }
};

FuseSession::FuseSession(EventLoop& loop, Catalogue& catalogue, FuseSettings settings)
    : impl_(std::make_unique<Impl>(loop, catalogue, std::move(settings))) {}

FuseSession::~FuseSession() {
    impl_->unwatch();
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
    impl_->unwatch();
    impl_->detach();
    auto end = [this, stopped = std::move(stopped)] {
        // Never from inside an answer: libfuse still holds the session's lock there.
        impl_->loop.post([this, stopped] {
            impl_->finish();
            stopped();
        });
    };
    if (impl_->front.unanswered == 0) {
        return end();
    }
    impl_->front.on_all_answered = std::move(end);
}

}  // namespace drivebay
