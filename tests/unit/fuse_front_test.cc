// The FUSE front over a catalogue that lives in memory, mounted for real, in a mount namespace of the test's own.
#define BOOST_TEST_DYN_LINK
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <filesystem>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "fusefs/engine/aligned_buffer.h"
#include "fusefs/fuse_front/fuse_session.h"
#include "fusefs/keeper/fuse_mount.h"
#include "fusefs/keeper/kept_requests.h"
#include "lib/base/fd.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {

namespace {

// A drive in memory, for one epoch. `held` keeps requests back.
struct MemoryView final : View {
    MemoryView(EventLoop& the_loop, Admission admission, std::vector<std::byte>& the_medium)
        : loop(the_loop), medium(the_medium) {
        view_info.admission = std::move(admission);
        view_info.geometry.size = medium.size();
        view_info.kind = DriveKind::disk;
    }

    const ViewInfo& info() const override { return view_info; }
    bool ended() const override { return is_ended; }
    std::uint64_t on_end(std::function<void()>) override { return 1; }
    void forget(std::uint64_t) override {}

    void submit(IoRequest& request) override {
        loop.post([this, &request] {
            if (holding) {
                held.push_back(&request);
            } else {
                complete(request);
            }
        });
    }

    void complete(IoRequest& request) {
        if (is_ended) {
            return request.done(request, ESHUTDOWN);
        }
        {
            const std::lock_guard lock(seen_mutex);
            seen.push_back(request);
        }
        std::byte* const at = medium.data() + request.offset;
        if (request.operation == IoOperation::read) {
            std::memcpy(request.data, at, request.length);
        } else if (request.operation == IoOperation::write) {
            std::memcpy(at, request.data, request.length);
        } else if (request.operation == IoOperation::write_zeroes) {
            std::memset(at, 0, request.length);
        }
        if (request.operation == IoOperation::block_status) {
            // Stripes of a megabyte, the first and the last of data; an answer at a time.
            const std::uint64_t stripe = 1 << 20;
            const bool hole = request.offset / stripe % 2 == 1;
            request.extents->found = {{std::min<std::uint64_t>(request.length, stripe - request.offset % stripe),
                                       hole && has_holes, hole && has_holes}};
        }
        request.done(request, 0);
    }

    std::vector<IoRequest> take_seen() {
        const std::lock_guard lock(seen_mutex);
        return std::exchange(seen, {});
    }

    EventLoop& loop;
    std::vector<std::byte>& medium;
    ViewInfo view_info;
    bool is_ended = false;
    std::atomic<bool> has_holes{true};
    std::atomic<bool> holding{false};
    std::vector<IoRequest*> held;
    std::mutex seen_mutex;
    std::vector<IoRequest> seen;
};

struct MemoryCatalogue final : Catalogue {
    explicit MemoryCatalogue(EventLoop& the_loop) : loop(the_loop) {}

    void list_blades(std::function<void(std::vector<std::string>)> callback) override {
        std::set<std::string> names;
        for (const auto& view : views) {
            names.insert(view->view_info.admission.blade);
        }
        callback({names.begin(), names.end()});
    }

    void list(const std::string& blade, std::function<void(Result<std::vector<ViewInfo>>)> callback) override {
        std::vector<ViewInfo> found;
        for (const auto& view : views) {
            if (view->view_info.admission.blade == blade && !view->is_ended) {
                found.push_back(view->view_info);
            }
        }
        loop.post([found, callback] { callback(found); });
    }

    std::shared_ptr<MemoryView> find(const std::string& blade, const DriveReference& name) {
        const auto found = std::find_if(views.begin(), views.end(), [&](const auto& view) {
            const Admission& admission = view->view_info.admission;
            return admission.blade == blade && admission.drive == name.drive && !view->is_ended &&
                   (name.epoch == 0 || name.epoch == admission.epoch);
        });
        return found == views.end() ? nullptr : *found;
    }

    void look_up(const std::string& blade, const DriveReference& name,
                 std::function<void(Result<ViewInfo>)> callback) override {
        const auto view = find(blade, name);
        callback(view ? Result<ViewInfo>(view->view_info) : Result<ViewInfo>(Error{ENOENT, "no such view"}));
        if (after_look_up) {
            std::exchange(after_look_up, {})();
        }
    }

    void open(const std::string& blade, const DriveReference& name, Mode mode,
              std::function<void(Result<std::shared_ptr<View>>)> callback) override {
        const auto view = find(blade, name);
        loop.post([view, mode, callback] {
            if (!view) {
                callback(Error{ENOENT, "no such view"});
            } else if (mode == Mode::write && view->view_info.admission.mode == Mode::read) {
                callback(Error{EROFS, "read-only"});
            } else {
                callback(std::shared_ptr<View>(view));
            }
        });
    }

    EventLoop& loop;
    std::vector<std::byte> medium = std::vector<std::byte>(4 << 20);
    std::vector<std::shared_ptr<MemoryView>> views;
    std::function<void()> after_look_up;  // once
};

boost::test_tools::assertion_result can_mount(boost::unit_test::test_unit_id) {
    if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) {
        boost::test_tools::assertion_result no(false);
        no.message() << "mounting needs root and /dev/fuse";
        return no;
    }
    return true;
}

KeptSession mounted_on(const std::string& path) {
    Result<FuseMount> mount = fuse_mount({path, "test"});
    BOOST_REQUIRE_MESSAGE(mount.ok(), (mount ? "" : mount.error().message));
    Result<KeptMemory> memory = KeptMemory::create();
    BOOST_REQUIRE(memory.ok());
    return {std::move(mount->device), std::move(mount->path), std::move(*memory)};
}

struct Mounted {
    // `before`: what a server that died has done.
    explicit Mounted(FuseTree::Layout layout = FuseTree::Layout::management,
                     const std::function<void(KeptSession&)>& before = [](KeptSession&) {}) {
        // Mounts made from here on are seen by this thread and those it starts, and end with the process.
        unshare(CLONE_NEWNS);
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        const std::string blade = layout == FuseTree::Layout::management ? "blade01" : "";
        for (std::size_t i = 0; i < catalogue.medium.size(); ++i) {
            catalogue.medium[i] = static_cast<std::byte>(i * 13 + i / 4096);
        }
        const auto add = [&](const char* drive, Mode mode, Epoch epoch) {
            catalogue.views.push_back(
                std::make_shared<MemoryView>(loop, Admission{drive, blade, mode, epoch}, catalogue.medium));
            return catalogue.views.back();
        };
        install = add("install", Mode::read, 7);
        scratch = add("scratch", Mode::write, 3);
        FuseSettings settings;
        settings.layout = layout;
        KeptSession kept = mounted_on(folder.path());
        before(kept);
        session.emplace(loop, catalogue, std::move(kept), settings);
        std::promise<void> ready;
        const Status started = session->start([&] { ready.set_value(); }, [this] { ended.set_value(); });
        BOOST_REQUIRE_MESSAGE(started.ok(), (started ? "" : started.error().message));
        thread = std::thread([this] { loop.run(); });
        ready.get_future().wait();
        // The first close is answered ENOSYS, and the kernel sends no FLUSH any more: this process could not serve it
        // to itself if it was ended with files open.
        UniqueFd(
            open((layout == FuseTree::Layout::management ? view_path("install") : path("install")).c_str(), O_RDONLY));
    }

    ~Mounted() { stop(); }

    // Runs `work` in the loop and waits for it.
    void in_loop(const std::function<void()>& work) {
        std::promise<void> done;
        loop.post([&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    // The kernel orders the two threads' accesses, but no tool sees that: so a copy made in the loop.
    std::vector<std::byte> medium() {
        std::vector<std::byte> copy;
        in_loop([&] { copy = catalogue.medium; });
        return copy;
    }

    void stop() {
        if (thread.joinable()) {
            loop.post([this] { session->stop([this] { loop.stop(); }); });
            thread.join();
            session.reset();
        }
    }

    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    std::string view_path(const std::string& name) const { return path("blades/blade01/" + name); }

    std::set<std::string> names(const std::string& of) const {
        std::set<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(of)) {
            found.insert(entry.path().filename().string());
        }
        return found;
    }

    TemporaryFolder folder;
    EventLoop loop;
    MemoryCatalogue catalogue{loop};
    std::shared_ptr<MemoryView> install;
    std::shared_ptr<MemoryView> scratch;
    std::optional<FuseSession> session;
    std::promise<void> ended;
    std::thread thread;
};

struct MountedBlade : Mounted {
    MountedBlade() : Mounted(FuseTree::Layout::blade) {}
};

std::string attribute(const std::string& path, const char* name) {
    char value[256];
    const ssize_t size = getxattr(path.c_str(), name, value, sizeof value);
    return size < 0 ? std::string(strerror(errno)) : std::string(value, static_cast<std::size_t>(size));
}

// As a server leaves it that is killed between keeping the kernel's first message and answering it.
void keep_greeting(KeptSession& kept) {
    KeptRequests requests(kept.memory.layout());
    const std::span<std::byte> room = requests.room();
    const ssize_t got = read(kept.device.get(), room.data(), room.size());
    BOOST_REQUIRE(got > 0);
    const std::span<std::byte> message = room.first(static_cast<std::size_t>(got));
    KeptLayout::Header& header = kept.memory.layout().header;
    std::ranges::copy(message, header.init);
    header.init_length = static_cast<std::uint32_t>(message.size());
    requests.keep(message);
}

using Names = std::set<std::string>;

// What a call said, for a readable comparison.
int error_of(long result) {
    return result < 0 ? errno : 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fuse_front, *boost::unit_test::precondition(can_mount))

BOOST_FIXTURE_TEST_CASE(the_tree_shows_something_else, Mounted) {
    BOOST_TEST((names(path("")) == Names{"blades", "drives"}));
    BOOST_TEST((names(path("blades")) == Names{"blade01"}));
    BOOST_TEST((names(path("blades/blade01")) == Names{"install", "scratch"}));
    BOOST_TEST((names(path("drives")).empty()));
    struct stat found {};
    BOOST_TEST(stat(view_path("install").c_str(), &found) == 0);
    BOOST_TEST(found.st_mode == (S_IFREG | 0444U));
    BOOST_TEST(static_cast<std::size_t>(found.st_size) == catalogue.medium.size());
    BOOST_TEST(stat(view_path("scratch").c_str(), &found) == 0);
    BOOST_TEST(found.st_mode == (S_IFREG | 0644U));
    BOOST_TEST(error_of(stat(view_path("nothing").c_str(), &found)) == ENOENT);
    BOOST_TEST(error_of(stat(path("blades/blade02").c_str(), &found)) == ENOENT);
    BOOST_TEST(error_of(stat(path("other").c_str(), &found)) == ENOENT);
    struct statvfs statistics {};
    BOOST_TEST(statvfs(path("").c_str(), &statistics) == 0);
    BOOST_TEST(error_of(access(view_path("install").c_str(), W_OK)) == EROFS);
    BOOST_TEST(error_of(access(view_path("scratch").c_str(), R_OK | W_OK)) == 0);
}

BOOST_FIXTURE_TEST_CASE(a_blades_mount_has_folders, MountedBlade) {
    BOOST_TEST((names(path("")) == Names{"install", "scratch"}));
    UniqueFd file(open(path("install@7").c_str(), O_RDONLY));
    BOOST_TEST(static_cast<bool>(file));
}

BOOST_FIXTURE_TEST_CASE(attributes_do_not_tell_the_lease, Mounted) {
    BOOST_TEST(attribute(view_path("install"), "user.drivebay.drive") == "install");
    BOOST_TEST(attribute(view_path("install"), "user.drivebay.blade") == "blade01");
    BOOST_TEST(attribute(view_path("install"), "user.drivebay.mode") == "read");
    BOOST_TEST(attribute(view_path("install"), "user.drivebay.epoch") == "7");
    BOOST_TEST(attribute(view_path("scratch"), "user.drivebay.kind") == "disk");
    BOOST_TEST(attribute(view_path("scratch"), "user.other") == strerror(ENODATA));
    BOOST_TEST(error_of(setxattr(view_path("scratch").c_str(), "user.drivebay.epoch", "9", 1, 0)) == EPERM);
    char list[256];
    BOOST_TEST(listxattr(view_path("install").c_str(), list, sizeof list) ==
               static_cast<ssize_t>(sizeof "user.drivebay." - 1 + 5 + 1) * 5 - 2);
}

BOOST_FIXTURE_TEST_CASE(an_epochs_name_is_listed_or_another_opens, Mounted) {
    UniqueFd file(open(view_path("install@7").c_str(), O_RDONLY));
    BOOST_TEST(static_cast<bool>(file));
    struct stat plain {};
    struct stat named {};
    stat(view_path("install").c_str(), &plain);
    stat(view_path("install@7").c_str(), &named);
    BOOST_TEST(plain.st_ino == named.st_ino);
    for (const char* name : {"install@8", "install@0", "install@", "install@7#1", "install@x"}) {
        BOOST_TEST(error_of(open(view_path(name).c_str(), O_RDONLY)) == ENOENT);
    }
}

BOOST_FIXTURE_TEST_CASE(bytes_arrive_elsewhere, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    BOOST_REQUIRE(static_cast<bool>(file));
    const std::size_t size = catalogue.medium.size();
    for (const auto& [offset, length] : std::vector<std::pair<off_t, std::size_t>>{
             {0, 512}, {4096, 4096}, {12345, 777}, {1 << 20, 1 << 20}, {100, 300000}}) {
        std::vector<std::byte> data(length);
        std::generate(data.begin(), data.end(), [i = length]() mutable { return static_cast<std::byte>(i += 3); });
        BOOST_TEST(pwrite(file.get(), data.data(), length, offset) == static_cast<ssize_t>(length));
        BOOST_TEST(std::equal(data.begin(), data.end(), medium().begin() + offset));
        std::vector<std::byte> back(length);
        BOOST_TEST(pread(file.get(), back.data(), length, offset) == static_cast<ssize_t>(length));
        BOOST_TEST((back == data));
    }
    std::vector<std::byte> data(8192);
    BOOST_TEST(pread(file.get(), data.data(), data.size(), static_cast<off_t>(size - 100)) == 100);
    BOOST_TEST(pread(file.get(), data.data(), data.size(), static_cast<off_t>(size)) == 0);
    BOOST_TEST(pwrite(file.get(), data.data(), data.size(), static_cast<off_t>(size - 100)) == 100);
    BOOST_TEST(error_of(pwrite(file.get(), data.data(), 1, static_cast<off_t>(size))) == ENOSPC);
    BOOST_TEST(static_cast<std::size_t>(lseek(file.get(), 0, SEEK_END)) == size);
}

BOOST_FIXTURE_TEST_CASE(a_large_write_is_cut_or_copied, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    BufferPool pool;
    const AlignedBuffer data = pool.take(1 << 20);
    BOOST_TEST(pwrite(file.get(), data.data(), 1 << 20, 0) == 1 << 20);
    const std::vector<IoRequest> seen = scratch->take_seen();
    BOOST_REQUIRE(seen.size() == 1U);
    BOOST_TEST(seen[0].length == 1U << 20);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(seen[0].data) % 4096 == 0U);
}

BOOST_FIXTURE_TEST_CASE(durability_is_not_asked_for, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    UniqueFd sync(open(view_path("scratch").c_str(), O_RDWR | O_DSYNC));
    const char text[] = "text";
    BOOST_TEST(pwrite(file.get(), text, sizeof text, 0) == static_cast<ssize_t>(sizeof text));
    BOOST_TEST(!scratch->take_seen().at(0).fua);
    BOOST_TEST(pwrite(sync.get(), text, sizeof text, 0) == static_cast<ssize_t>(sizeof text));
    BOOST_TEST(scratch->take_seen().at(0).fua);
    BOOST_TEST(fsync(file.get()) == 0);
    BOOST_TEST((scratch->take_seen().at(0).operation == IoOperation::flush));
    UniqueFd reader(open(view_path("install").c_str(), O_RDONLY));
    BOOST_TEST(fsync(reader.get()) == 0);
}

BOOST_FIXTURE_TEST_CASE(what_would_change_the_tree_does, Mounted) {
    BOOST_TEST(error_of(open(view_path("install").c_str(), O_RDWR)) == EROFS);
    BOOST_TEST(error_of(open(view_path("new").c_str(), O_RDWR | O_CREAT, 0600)) == EROFS);
    BOOST_TEST(error_of(mkdir(path("blades/blade09").c_str(), 0700)) == EROFS);
    BOOST_TEST(error_of(unlink(view_path("scratch").c_str())) == EPERM);
    BOOST_TEST(error_of(rename(view_path("scratch").c_str(), view_path("other").c_str())) == EPERM);
    BOOST_TEST(error_of(truncate(view_path("scratch").c_str(), 0)) == EPERM);
    BOOST_TEST(error_of(chmod(view_path("install").c_str(), 0666)) == EPERM);
    BOOST_TEST(error_of(truncate(view_path("scratch").c_str(), 4 << 20)) == 0);
    // As on a block device.
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR | O_TRUNC));
    BOOST_TEST(static_cast<bool>(file));
    struct stat found {};
    stat(view_path("scratch").c_str(), &found);
    BOOST_TEST(static_cast<std::size_t>(found.st_size) == catalogue.medium.size());
}

BOOST_FIXTURE_TEST_CASE(a_hole_spares_bytes_or_takes_others, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    const std::vector<std::byte> before = medium();
    BOOST_TEST(fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192) == 0);
    std::vector<std::byte> expected = before;
    std::fill_n(expected.begin() + 4096, 8192, std::byte{0});
    BOOST_TEST((medium() == expected));
    BOOST_TEST(error_of(fallocate(file.get(), 0, 0, 4096)) == EOPNOTSUPP);
}

// lseek(2); the drive of 4 MiB has holes in its second and its last megabyte.
BOOST_FIXTURE_TEST_CASE(a_seek_for_data_finds_a_hole, Mounted) {
    UniqueFd file(open(view_path("install").c_str(), O_RDONLY));
    BOOST_REQUIRE(static_cast<bool>(file));
    constexpr off_t mib = 1 << 20;
    const auto seek = [&](off_t offset, int whence) { return lseek(file.get(), offset, whence); };
    BOOST_TEST(seek(0, SEEK_DATA) == 0);
    BOOST_TEST(seek(5, SEEK_DATA) == 5);
    BOOST_TEST(seek(0, SEEK_HOLE) == mib);
    BOOST_TEST(seek(mib + 7, SEEK_HOLE) == mib + 7);
    BOOST_TEST(seek(mib, SEEK_DATA) == 2 * mib);
    BOOST_TEST(seek(2 * mib, SEEK_HOLE) == 3 * mib);
    BOOST_TEST(error_of(seek(3 * mib, SEEK_DATA)) == ENXIO);
    BOOST_TEST(error_of(seek(4 * mib, SEEK_HOLE)) == ENXIO);
    BOOST_TEST(error_of(seek(4 * mib, SEEK_DATA)) == ENXIO);
    BOOST_TEST(error_of(seek(-1, SEEK_DATA)) == ENXIO);
    install->has_holes = false;
    BOOST_TEST(seek(0, SEEK_HOLE) == 4 * mib);
    BOOST_TEST(seek(4 * mib - 1, SEEK_DATA) == 4 * mib - 1);
    BOOST_TEST(seek(-5, SEEK_END) == 4 * mib - 5);
    in_loop([&] { install->is_ended = true; });
    BOOST_TEST(error_of(seek(0, SEEK_DATA)) == ESHUTDOWN);
}

BOOST_FIXTURE_TEST_CASE(an_old_handle_reaches_the_new_epoch, Mounted) {
    UniqueFd old(open(view_path("scratch").c_str(), O_RDWR));
    char byte = 0;
    BOOST_TEST(pread(old.get(), &byte, 1, 0) == 1);
    in_loop([&] {
        scratch->is_ended = true;
        catalogue.views.push_back(
            std::make_shared<MemoryView>(loop, Admission{"scratch", "blade01", Mode::write, 4}, catalogue.medium));
    });
    BOOST_TEST(error_of(pread(old.get(), &byte, 1, 0)) == ESHUTDOWN);
    BOOST_TEST(error_of(pwrite(old.get(), &byte, 1, 0)) == ESHUTDOWN);
    BOOST_TEST(error_of(fsync(old.get())) == ESHUTDOWN);
    UniqueFd fresh(open(view_path("scratch").c_str(), O_RDWR));
    BOOST_TEST(pwrite(fresh.get(), &byte, 1, 0) == 1);
    BOOST_TEST(attribute(view_path("scratch"), "user.drivebay.epoch") == "4");
    BOOST_TEST(error_of(open(view_path("scratch@3").c_str(), O_RDONLY)) == ENOENT);
}

BOOST_FIXTURE_TEST_CASE(an_open_gets_another_epoch_than_its_look_up, Mounted) {
    in_loop([&] {
        catalogue.after_look_up = [&] {
            scratch->is_ended = true;
            catalogue.views.push_back(
                std::make_shared<MemoryView>(loop, Admission{"scratch", "blade01", Mode::write, 4}, catalogue.medium));
        };
    });
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    BOOST_REQUIRE(static_cast<bool>(file));
    struct stat opened {};
    struct stat now {};
    BOOST_TEST(fstat(file.get(), &opened) == 0);
    BOOST_TEST(stat(view_path("scratch").c_str(), &now) == 0);
    BOOST_TEST(opened.st_ino == now.st_ino);
    char byte = 0;
    BOOST_TEST(pread(file.get(), &byte, 1, 0) == 1);
}

BOOST_FIXTURE_TEST_CASE(requests_of_one_file_wait_for_each_other, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    scratch->holding = true;
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            std::vector<std::byte> data(65536, static_cast<std::byte>(i));
            good += pread(file.get(), data.data(), data.size(), i * 65536) == 65536 ? 1 : 0;
        });
    }
    for (std::size_t held = 0; held < 4;) {
        in_loop([&] { held = scratch->held.size(); });
    }
    in_loop([&] {
        scratch->holding = false;
        for (IoRequest* request : std::exchange(scratch->held, {})) {
            scratch->complete(*request);
        }
    });
    for (std::thread& waiting : threads) {
        waiting.join();
    }
    BOOST_TEST(good == 4);
}

BOOST_FIXTURE_TEST_CASE(stopping_with_a_request_under_way_crashes, Mounted) {
    UniqueFd file(open(view_path("scratch").c_str(), O_RDWR));
    scratch->holding = true;
    std::thread reader([&] {
        char byte = 0;
        (void)!pread(file.get(), &byte, 1, 0);
    });
    for (std::size_t held = 0; held == 0;) {
        in_loop([&] { held = scratch->held.size(); });
    }
    std::promise<void> stopped;
    loop.post([&] { session->stop([&] { stopped.set_value(); }); });
    auto wait = stopped.get_future();
    in_loop([] {});
    in_loop([] {});
    BOOST_TEST((wait.wait_for(std::chrono::seconds(0)) == std::future_status::timeout));
    in_loop([&] { scratch->complete(*std::exchange(scratch->held, {}).at(0)); });
    wait.wait();
    reader.join();
    BOOST_TEST(std::filesystem::is_empty(folder.path()));
    char byte = 0;
    BOOST_TEST(error_of(pread(file.get(), &byte, 1, 0)) == ENOTCONN);
    loop.stop();
    thread.join();
    session.reset();
}

BOOST_FIXTURE_TEST_CASE(an_unmount_by_others_goes_unnoticed, Mounted) {
    BOOST_TEST(umount2(folder.path().c_str(), 0) == 0);
    ended.get_future().wait();
}

BOOST_AUTO_TEST_CASE(a_kill_before_the_kernels_first_answer_ends_the_mount) {
    Mounted mounted(FuseTree::Layout::management, keep_greeting);
    BOOST_TEST((mounted.names(mounted.path("blades/blade01")) == Names{"install", "scratch"}));
}

BOOST_AUTO_TEST_CASE(a_second_mount_hides_the_first_or_a_dead_one_stays) {
    Mounted first;
    const Result<FuseMount> refused = fuse_mount({first.folder.path(), "test"});
    BOOST_REQUIRE(!refused.ok());
    BOOST_TEST(refused.error().code == EBUSY);
    BOOST_TEST(refused.error().message.find("already") != std::string::npos);

    TemporaryFolder elsewhere;
    UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0";
    BOOST_REQUIRE(mount("dead", elsewhere.path().c_str(), "fuse.drivebayfs", 0, options.c_str()) == 0);
    device.reset();
    struct stat found {};
    BOOST_TEST(error_of(stat(elsewhere.path().c_str(), &found)) == ENOTCONN);
    {
        EventLoop loop;
        FuseSession successor(loop, first.catalogue, mounted_on(elsewhere.path() + "/"), {});
        BOOST_TEST(successor.start([] {}, [] {}).ok());
    }
    BOOST_TEST(stat(elsewhere.path().c_str(), &found) == 0);

    BOOST_TEST(fuse_mount({elsewhere.path() + "/nowhere", "test"}).error().code == ENOENT);
    BOOST_TEST(fuse_mount({"/dev/null", "test"}).error().code == ENOTDIR);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
