#include "fusefs/fuse_front/fuse_session.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "fusefs/fuse_front/fuse_channel.h"
#include "fusefs/fuse_front/fuse_front.h"
#include "fusefs/fuse_front/restored_view.h"
#include "fusefs/keeper/fuse_mount.h"
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

std::size_t iov_length(const iovec* parts, int count) {
    std::size_t length = 0;
    for (const iovec& part : std::span(parts, static_cast<std::size_t>(count))) {
        length += part.iov_len;
    }
    return length;
}

// How libfuse sends an answer.
ssize_t send_answer(int, iovec* parts, int count, void* user_data) {
    const FuseFront& front = *static_cast<FuseFront*>(user_data);
    return front.send_answer(parts, count);
}

// libfuse receives nothing by itself.
ssize_t receive_nothing(int, void*, std::size_t, void*) {
    errno = EAGAIN;
    return -1;
}

}  // namespace

struct FuseSession::Impl {
    Impl(EventLoop& the_loop, Catalogue& catalogue, KeptSession the_kept, FuseSettings the_settings)
        : loop(the_loop),
          settings(the_settings),
          kept(std::move(the_kept)),
          requests(kept.memory.layout()),
          front(catalogue, settings.layout, kept.memory.layout()),
          channel(loop, kept.device.get(), shared) {}

    EventLoop& loop;
    const FuseSettings settings;
    KeptSession kept;
    KeptRequests requests;
    FuseFront front;
    FuseChannel::Shared shared{front.handles, requests,
                               [this](std::span<const std::byte> message) { serve(message); },
                               [this] { unmounted(); }};
    FuseChannel channel;
    std::unique_ptr<fuse_session, SessionDestroyer> session;
    bool mounted = true;
    bool greeting_again = false;  // INIT is fed to libfuse as its predecessor's was; the kernel has its answer
    std::function<void()> ended;

    Status start() {
        std::array<char*, 1> words = {const_cast<char*>("drivebayfs")};
        fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), words.data());
        static const fuse_lowlevel_ops operations = all_operations();
        static const fuse_custom_io answers{send_answer, receive_nothing, nullptr, nullptr};
        session.reset(fuse_session_new(&arguments, &operations, sizeof operations, &front));
        fuse_opt_free_args(&arguments);
        // libfuse closes its descriptor in the end; ours stays.
        const int device = fcntl(kept.device.get(), F_DUPFD_CLOEXEC, 0);
        if (!session || fuse_session_custom_io(session.get(), &answers, device) != 0) {
            detach();
            return Error{EIO, "libfuse cannot begin a session on " + kept.mount_point};
        }
        front.send_answer = [this](const iovec* parts, int count) {
            return greeting_again ? static_cast<ssize_t>(iov_length(parts, count)) : channel.answer_of_libfuse(parts, count);
        };
        take_over();
        channel.start(settings.refuse_suspects);
        return success();
    }

    // What a dead server left: first the agreement with the kernel, then the open files, and last, by the channel, what was
    // asked and not answered.
    void take_over() {
        KeptLayout::Header& header = kept.memory.layout().header;
        front.last_listing = std::uint64_t{header.servers++} << 32;
        // Nothing is open yet where the first message is still to be answered: then the channel has it, and only once.
        if (header.init_length == 0 || requests.holds(FUSE_INIT)) {
            return;
        }
        log::notice("taking over", {{"mount_point", kept.mount_point}, {"servers_before", header.servers - 1}});
        greeting_again = true;
        serve(std::span(header.init).first(header.init_length));
        greeting_again = false;
        for (KeptHandle* const record : front.handles.left()) {
            restore(*record);
        }
    }

    void restore(KeptHandle& record) {
        FuseNode* const node = front.tree.find(record.node);
        if (node == nullptr) {
            log::error("an open file without its inode cannot be taken over", {{"inode", record.node}});
            return;
        }
        RestoredView::Wish wish;
        wish.blade = node->blade;
        wish.name = DriveReference{node->name.drive, record.epoch, 0};
        wish.mode = record.writable != 0 ? Mode::write : Mode::read;
        wish.info = node->info;
        wish.info.admission.epoch = record.epoch;
        wish.pause_limit = settings.pause_limit;
        FuseHandle handle;
        handle.view = RestoredView::create(loop, front.catalogue, std::move(wish));
        handle.changed = node->changed;
        handle.node = node->number;
        handle.writable = record.writable != 0;
        handle.kept = &record;
        front.handles.restore(std::move(handle));
        front.tree.opened(*node);
    }

    void serve(std::span<const std::byte> message) {
        const auto& header = *reinterpret_cast<const fuse_in_header*>(message.data());
        if (header.opcode == FUSE_INIT && !greeting_again) {
            keep_greeting(message);
        }
        front.serving = header.unique;
        fuse_buf buffer{};
        buffer.mem = const_cast<std::byte*>(message.data());
        buffer.size = message.size();
        fuse_session_process_buf(session.get(), &buffer);
    }

    // libfuse refuses everything before an INIT, so each of its sessions is to hear it.
    void keep_greeting(std::span<const std::byte> message) {
        KeptLayout::Header& header = kept.memory.layout().header;
        if (message.size() <= sizeof header.init) {
            std::ranges::copy(message, header.init);
            header.init_length = static_cast<std::uint32_t>(message.size());
        }
    }

    void unmounted() {
        mounted = false;
        if (ended) {
            std::exchange(ended, {})();
        }
    }

    void detach() {
        if (std::exchange(mounted, false)) {
            if (Status detached = fuse_detach(kept.mount_point); !detached) {
                log::warning("cannot unmount", {{"error", detached.error().message}});
            }
        }
    }

    // Once what libfuse decodes and what the channel serves by itself is answered.
    void when_all_answered(std::function<void()> then) {
        channel.stop([this, then = std::move(then)] {
            if (front.unanswered == 0) {
                return then();
            }
            front.on_all_answered = then;
        });
    }

    // Handles go last: their views end the data path's interest.
    void finish() {
        front.handles.clear();
        front.listings.clear();
        session.reset();
        kept.device.reset();
    }
};

FuseSession::FuseSession(EventLoop& loop, Catalogue& catalogue, KeptSession kept, FuseSettings settings)
    : impl_(std::make_unique<Impl>(loop, catalogue, std::move(kept), settings)) {}

FuseSession::~FuseSession() {
    impl_->channel.stop([] {});
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
