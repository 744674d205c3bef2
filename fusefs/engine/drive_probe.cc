#include "fusefs/engine/drive_probe.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

namespace drivebay {

namespace {

constexpr std::uint64_t descriptor_offset = 16 * 2048;
constexpr std::uint32_t descriptor_size = 2048;
constexpr std::uint32_t looked_at = descriptor_offset + descriptor_size;

// One probe under way; owns itself by the callbacks that hold it.
struct ProbeJob : std::enable_shared_from_this<ProbeJob> {
    ProbeJob(AioResources given_resources, OpenWish given_wish) : resources(given_resources), wish(std::move(given_wish)) {}

    AioResources resources;
    OpenWish wish;
    std::optional<DriveKind> asked;
    std::function<void(Result<ProbedDrive>)> callback;
    std::unique_ptr<Drive> drive;
    AlignedBuffer buffer;
    IoRequest request;
    std::shared_ptr<ProbeJob> reading;  // keeps the job while the drive has its request
    ProbedDrive probed;
    bool write_asked = false;

    void begin() {
        // For reading first: an image that turns out to be a CD-ROM is never opened for writing.
        write_asked = !wish.read_only;
        wish.read_only = true;
        wish.cache = CachePolicy::direct;
        open([self = shared_from_this()] { self->look(); });
    }

    void open(std::function<void()> opened) {
        open_drive(resources, wish, [self = shared_from_this(), opened](Result<std::unique_ptr<Drive>> outcome) {
            if (!outcome) {
                return self->callback(outcome.error());
            }
            self->drive = std::move(*outcome);
            opened();
        });
    }

    void close(std::function<void()> closed) {
        drive->close([self = shared_from_this(), closed] {
            self->drive.reset();
            closed();
        });
    }

    void look() {
        probed.size = drive->geometry().size;
        buffer = resources.buffers.take(looked_at);
        request.operation = IoOperation::read;
        request.length = static_cast<std::uint32_t>(std::min<std::uint64_t>(probed.size, looked_at));
        request.data = buffer.data();
        request.context = this;
        request.done = [](IoRequest& done, int error) {
            const std::shared_ptr<ProbeJob> self = std::exchange(static_cast<ProbeJob*>(done.context)->reading, nullptr);
            self->judge(error);
        };
        reading = shared_from_this();
        drive->submit(request);
    }

    void judge(int error) {
        const std::string_view beginning(reinterpret_cast<const char*>(buffer.data()), request.length);
        const bool iso9660 = request.length == looked_at && beginning.substr(descriptor_offset + 1, 5) == "CD001";
        Result<KindVerdict> verdict =
            error == 0 ? judge_kind(probed.size, iso9660, asked, !write_asked)
                       : Result<KindVerdict>(system_error(error, "the source \"" + wish.source + "\" cannot be read"));
        if (verdict && verdict->kind == DriveKind::disk && verdict->notice.empty()) {
            verdict->notice = table_notice(beginning);
        }
        close([self = shared_from_this(), verdict] {
            if (!verdict) {
                return self->callback(verdict.error());
            }
            self->probed.verdict = *verdict;
            if (verdict->read_only) {
                return self->callback(self->probed);
            }
            self->wish.read_only = false;
            self->open([self] { self->close([self] { self->callback(self->probed); }); });
        });
    }
};

}  // namespace

Result<KindVerdict> judge_kind(std::uint64_t size, bool iso9660, std::optional<DriveKind> asked, bool read_only) {
    const std::string bytes = std::to_string(size) + " bytes";
    if (asked == DriveKind::disk || (!asked && !iso9660)) {
        return KindVerdict{DriveKind::disk, read_only, ""};
    }
    if (size > largest_cdrom) {
        return KindVerdict{DriveKind::disk, true,
                           "shown as a read-only disk: a USB CD-ROM ends at " + std::to_string(largest_cdrom) +
                               " bytes and this image has " + bytes + "; hybrid images boot from a disk all the same"};
    }
    std::string why;
    if (size % cdrom_block_size != 0) {
        why = "its " + bytes + " are no whole number of CD-ROM blocks of 2048";
    } else if (size < smallest_cdrom) {
        why = "its " + bytes + " are less than the smallest CD-ROM's, " + std::to_string(smallest_cdrom);
    } else {
        return KindVerdict{DriveKind::cdrom, true, ""};
    }
    if (asked) {
        return Error{EINVAL, "the source cannot be a CD-ROM: " + why + "; leave out --kind cdrom to share it as a disk"};
    }
    return KindVerdict{DriveKind::disk, true, "shown as a read-only disk, although it is an ISO 9660 image: " + why};
}

std::string table_notice(std::string_view beginning) {
    const auto has_header = [&](std::size_t at) {
        return beginning.size() >= at + 8 && beginning.substr(at, 8) == "EFI PART";
    };
    return has_header(4096) && !has_header(512)
               ? "its partition table was written for blocks of 4096 bytes; hosts see blocks of 512 and will not find its "
                 "partitions"
               : "";
}

void probe_drive(AioResources resources, const OpenWish& wish, std::optional<DriveKind> asked,
                 std::function<void(Result<ProbedDrive>)> callback) {
    const auto job = std::make_shared<ProbeJob>(resources, wish);
    job->asked = asked;
    job->callback = std::move(callback);
    job->begin();
}

}  // namespace drivebay
