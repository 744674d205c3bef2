#define BOOST_TEST_DYN_LINK
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <deque>
#include <fstream>
#include <random>
#include <thread>

#include "fusefs/engine/aio_drive.h"
#include "fusefs/engine/cached_drive.h"
#include "fusefs/engine/open_drive.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {
namespace {

using namespace std::chrono_literals;

struct Bench {
    TemporaryFolder folder;
    EventLoop loop;
    BufferPool buffers;
    WorkerPool workers{loop, "test", 4};
    std::unique_ptr<Drive> drive;

    AioResources resources() { return {loop, workers, buffers}; }

    std::string image(std::size_t size) {
        const std::string path = folder.path() + "/image";
        std::ofstream(path).flush();
        BOOST_REQUIRE(truncate(path.c_str(), static_cast<off_t>(size)) == 0);
        return path;
    }

    void open(const std::string& path, bool direct = true) {
        OpenWish wish;
        wish.source = path;
        wish.cache = direct ? CachePolicy::direct : CachePolicy::page_cache;
        Result<OpenedFile> opened = open_file(wish);
        BOOST_REQUIRE(opened.ok());
        if (!direct) {
            drive = std::make_unique<CachedDrive>(resources(), std::move(*opened));
            return;
        }
        Result<std::unique_ptr<AioQueue>> queue = AioQueue::create(loop, 32);  // fewer than some test's requests
        BOOST_REQUIRE(queue.ok());
        drive = std::make_unique<AioDrive>(resources(), std::move(*queue), std::move(*opened));
    }

    int perform(IoRequest& request) {
        int outcome = -1;
        struct Wait {
            EventLoop& loop;
            int& outcome;
        } wait{loop, outcome};
        request.context = &wait;
        request.done = [](IoRequest& done, int error) {
            Wait& waiting = *static_cast<Wait*>(done.context);
            waiting.outcome = error;
            waiting.loop.stop();
        };
        drive->submit(request);
        BOOST_TEST(outcome == -1, "done inside submit()");
        loop.run();
        return outcome;
    }

    int perform(IoOperation operation, std::uint64_t offset, std::uint32_t length, std::byte* data = nullptr, bool fua = false) {
        IoRequest request;
        request.operation = operation;
        request.offset = offset;
        request.length = length;
        request.data = data;
        request.fua = fua;
        return perform(request);
    }

    void close() {
        drive->close([this] { loop.stop(); });
        loop.run();
        drive.reset();
    }
};

std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal(const OpenWish& wish) {
    const Result<OpenedFile> opened = open_file(wish);
    return opened ? "opened" : opened.error().message;
}

OpenWish quick(const std::string& path, bool read_only = false) {
    OpenWish wish;
    wish.source = path;
    wish.read_only = read_only;
    wish.lock_patience = 0ms;
    return wish;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(aio_drive)

// Requests of any alignment, many at once; those in flight together never overlap, so the outcome is known.
BOOST_AUTO_TEST_CASE(what_was_written_anywhere_is_not_what_is_there) {
    for (const bool direct : {true, false}) {
        BOOST_TEST_CONTEXT((direct ? "direct" : "page cache")) {
            Bench bench;
            constexpr std::size_t size = 1 << 20;
            const std::string path = bench.image(size);
            bench.open(path, direct);
            std::string model(size, '\0');
            std::mt19937 random(7);

            struct Job {
                IoRequest request;
                std::vector<std::byte> memory;
                Bench* bench;
                std::size_t* left;
            };
            for (int round = 0; round < 40; ++round) {
                std::deque<Job> jobs;
                std::size_t left = 0;
                // One job a region of 64 KiB, at odd places in it: neighbours share blocks, not bytes.
                for (std::uint64_t at = 0; at < size; at += 1 << 14) {
                    const std::uint64_t offset = at + (random() % 4 == 0 ? 0 : random() % 700);
                    const std::uint32_t length = static_cast<std::uint32_t>(
                        random() % 4 == 0 ? 4096 : 1 + random() % ((1 << 14) - (offset - at)));
                    Job& job = jobs.emplace_back();
                    job.bench = &bench;
                    job.left = &left;
                    const bool odd_memory = random() % 2 == 0;
                    job.memory.resize(length + 1);
                    job.request.offset = offset;
                    job.request.length = length;
                    job.request.data = job.memory.data() + (odd_memory ? 1 : 0);
                    const unsigned choice = random() % 8;
                    if (choice < 5) {
                        job.request.operation = IoOperation::write;
                        job.request.fua = choice == 0;
                        for (std::uint32_t i = 0; i < length; ++i) {
                            job.request.data[i] = static_cast<std::byte>(random());
                        }
                        std::memcpy(model.data() + offset, job.request.data, length);
                    } else {
                        job.request.operation = IoOperation::write_zeroes;
                        job.request.may_trim = choice == 6;
                        std::memset(model.data() + offset, 0, length);
                    }
                    job.request.context = &job;
                    job.request.done = [](IoRequest& done, int error) {
                        Job& finished = *static_cast<Job*>(done.context);
                        BOOST_TEST(error == 0);
                        if (--*finished.left == 0) {
                            finished.bench->loop.stop();
                        }
                    };
                }
                left = jobs.size();
                for (Job& job : jobs) {
                    bench.drive->submit(job.request);
                }
                bench.loop.run();
                std::vector<std::byte> read(5000);
                const std::uint64_t offset = random() % (size - read.size());
                BOOST_REQUIRE_EQUAL(bench.perform(IoOperation::read, offset, 5000, read.data()), 0);
                BOOST_REQUIRE(std::memcmp(read.data(), model.data() + offset, read.size()) == 0);
            }
            BOOST_TEST(bench.perform(IoOperation::flush, 0, 0) == 0);
            bench.close();
            BOOST_TEST((contents(path) == model));
        }
    }
}

BOOST_AUTO_TEST_CASE(two_writes_into_one_block_lose_one) {
    Bench bench;
    const std::string path = bench.image(1 << 16);
    bench.open(path);
    std::vector<std::vector<std::byte>> memory;
    std::deque<IoRequest> requests;
    std::size_t left = 512;
    struct Wait {
        std::size_t& left;
        EventLoop& loop;
    } wait{left, bench.loop};
    for (std::size_t i = 0; i < 512; ++i) {
        memory.push_back({static_cast<std::byte>(i)});
        IoRequest& request = requests.emplace_back();
        request.operation = IoOperation::write;
        request.offset = 1024 + i;
        request.length = 1;
        request.data = memory.back().data();
        request.context = &wait;
        request.done = [](IoRequest& done, int) {
            Wait& waiting = *static_cast<Wait*>(done.context);
            if (--waiting.left == 0) {
                waiting.loop.stop();
            }
        };
    }
    for (IoRequest& request : requests) {
        bench.drive->submit(request);
    }
    bench.loop.run();
    bench.close();
    const std::string found = contents(path);
    for (std::size_t i = 0; i < 512; ++i) {
        BOOST_REQUIRE_EQUAL(static_cast<unsigned char>(found[1024 + i]), i % 256);
    }
}

BOOST_AUTO_TEST_CASE(a_request_outside_is_performed_or_a_zeroed_range_grows_the_file) {
    Bench bench;
    const std::string path = bench.image(4096 + 512);
    bench.open(path);
    std::byte byte{};
    BOOST_TEST(bench.perform(IoOperation::read, 4608, 1, &byte) == EINVAL);
    BOOST_TEST(bench.perform(IoOperation::write, UINT64_MAX, 1, &byte) == EINVAL);
    BOOST_TEST(bench.perform(IoOperation::write, 4607, 1, &byte) == 0);
    BOOST_TEST(bench.perform(IoOperation::write_zeroes, 0, 4608) == 0);
    BOOST_TEST(bench.perform(IoOperation::trim, 0, 4608) == 0);
    BOOST_TEST(bench.perform(IoOperation::read, 0, 0, &byte) == 0);
    bench.close();
    BOOST_TEST(std::filesystem::file_size(path) == 4608u);
}

BOOST_AUTO_TEST_CASE(a_file_that_was_cut_gives_old_data) {
    Bench bench;
    const std::string path = bench.image(1 << 16);
    bench.open(path);
    BOOST_REQUIRE(truncate(path.c_str(), 8192) == 0);
    std::vector<std::byte> memory(4096);
    BOOST_TEST(bench.perform(IoOperation::read, 16384, 4096, memory.data()) == EIO);
    bench.close();
}

BOOST_AUTO_TEST_CASE(a_hole_is_told_as_data_or_data_as_a_hole) {
    for (const bool direct : {true, false}) {
        Bench bench;
        const std::string path = bench.image(1 << 20);
        bench.open(path, direct);
        std::vector<std::byte> memory(8192, std::byte{1});
        BOOST_REQUIRE(bench.perform(IoOperation::write, 65536, 8192, memory.data()) == 0);
        BOOST_REQUIRE(bench.perform(IoOperation::write, 262144, 4096, memory.data()) == 0);
        const auto extents = [&](std::uint64_t offset, std::uint32_t length, std::size_t limit = most_extents) {
            ExtentList list;
            list.limit = limit;
            IoRequest request;
            request.operation = IoOperation::block_status;
            request.offset = offset;
            request.length = length;
            request.extents = &list;
            BOOST_TEST(bench.perform(request) == 0);
            return list.found;
        };
        BOOST_TEST((extents(0, 1 << 20) == std::vector<Extent>{{65536, true, true},
                                                               {8192, false, false},
                                                               {262144 - 65536 - 8192, true, true},
                                                               {4096, false, false},
                                                               {(1 << 20) - 262144 - 4096, true, true}}));
        BOOST_TEST((extents(65537, 100) == std::vector<Extent>{{100, false, false}}));
        BOOST_TEST((extents(65535, 3) == std::vector<Extent>{{1, true, true}, {2, false, false}}));
        BOOST_TEST((extents(65535, 1 << 18, 1) == std::vector<Extent>{{1, true, true}}));
        BOOST_TEST((extents((1 << 20) - 1, 1) == std::vector<Extent>{{1, true, true}}));
        BOOST_TEST(bench.perform(IoOperation::cache, 0, 1 << 20) == 0);
        BOOST_TEST(bench.perform(IoOperation::cache, 1 << 20, 1) == EINVAL);
        ExtentList list;
        IoRequest request;
        request.operation = IoOperation::block_status;
        request.offset = 1 << 20;
        request.length = 1;
        request.extents = &list;
        BOOST_TEST(bench.perform(request) == EINVAL);
        // What was cut off does not read as zeroes, so it is no hole.
        BOOST_REQUIRE(truncate(path.c_str(), 524288) == 0);
        request.offset = 300000;
        request.length = 500000;
        request.fua = true;  // any NBD request may bear it: a failed question is no failed flush
        BOOST_TEST(bench.perform(request) == EIO);
        BOOST_TEST(bench.perform(IoOperation::read, 600000, 4096, memory.data(), true) == EIO);
        BOOST_TEST(bench.perform(IoOperation::write, 0, 4096, memory.data()) == 0);
        BOOST_TEST(bench.drive->failure().empty());
        bench.close();
    }
}

BOOST_AUTO_TEST_CASE(a_read_only_drive_cannot_be_asked_for_its_extents) {
    Bench bench;
    const std::string path = bench.image(1 << 16);
    Result<OpenedFile> opened = open_file(quick(path, true));
    BOOST_REQUIRE(opened.ok());
    Result<std::unique_ptr<AioQueue>> queue = AioQueue::create(bench.loop, 32);
    bench.drive = std::make_unique<AioDrive>(bench.resources(), std::move(*queue), std::move(*opened));
    ExtentList list;
    IoRequest request;
    request.operation = IoOperation::block_status;
    request.length = 1 << 16;
    request.extents = &list;
    BOOST_TEST(bench.perform(request) == 0);
    BOOST_TEST((list.found == std::vector<Extent>{{1 << 16, true, true}}));
    BOOST_TEST(bench.perform(IoOperation::cache, 0, 1 << 16) == 0);
    BOOST_TEST(bench.perform(IoOperation::trim, 0, 1 << 16) == EROFS);
    bench.close();
}

BOOST_AUTO_TEST_CASE(a_drive_closes_while_something_is_in_flight) {
    Bench bench;
    bench.open(bench.image(1 << 20));
    std::vector<std::byte> memory(1 << 20);
    IoRequest request;
    request.operation = IoOperation::write;
    request.length = 1 << 20;
    request.data = memory.data() + 1;
    request.length -= 1;
    bool done = false;
    request.context = &done;
    request.done = [](IoRequest& finished, int error) {
        BOOST_TEST(error == 0);
        *static_cast<bool*>(finished.context) = true;
    };
    bench.drive->submit(request);
    bench.close();
    BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(a_source_that_cannot_be_a_drive_is_opened) {
    Bench bench;
    const std::string folder = bench.folder.path();
    const auto file = [&](const std::string& name, std::size_t size, mode_t mode = 0644) {
        std::ofstream(folder + name) << std::string(size, 'x');
        chmod((folder + name).c_str(), mode);
        return folder + name;
    };
    BOOST_TEST(refusal(quick(folder)).find("is a folder") != std::string::npos);
    BOOST_TEST(refusal(quick(folder + "/none")).find("does not exist") != std::string::npos);
    BOOST_TEST(refusal(quick("image")).find("absolute") != std::string::npos);
    BOOST_TEST(refusal(quick("/dev/zero")).find("character device") != std::string::npos);
    BOOST_REQUIRE(mkfifo((folder + "/pipe").c_str(), 0600) == 0);
    BOOST_TEST(refusal(quick(folder + "/pipe")).find("is a pipe") != std::string::npos);
    BOOST_TEST(refusal(quick(file("/empty", 0))).find("is empty") != std::string::npos);
    BOOST_TEST(refusal(quick(file("/small", 511))).find("smaller than one block") != std::string::npos);
    BOOST_TEST(refusal(quick(file("/odd", 1000))).find("multiple of 512") != std::string::npos);
    BOOST_TEST(refusal(quick(file("/protected", 1024, 0444))).find("add --read-only") != std::string::npos);
    BOOST_TEST(refusal(quick(folder + "/protected", true)) == "opened");
    BOOST_TEST(refusal(quick(file("/a (1) é.img", 512))) == "opened");
}

BOOST_AUTO_TEST_CASE(a_file_in_use_is_opened_or_a_predecessors_lock_is_not_waited_for) {
    Bench bench;
    const std::string path = bench.image(4096);
    Result<OpenedFile> first = open_file(quick(path));
    BOOST_REQUIRE(first.ok());
    BOOST_TEST(refusal(quick(path)).find("is locked by") != std::string::npos);
    BOOST_TEST(refusal(quick(path, true)).find("is locked by") != std::string::npos);
    OpenWish patient = quick(path);
    patient.lock_patience = 10s;
    std::thread predecessor([&] { first->fd.reset(); });
    BOOST_TEST(refusal(patient) == "opened");
    predecessor.join();
    const Result<OpenedFile> reader = open_file(quick(path, true));
    BOOST_REQUIRE(reader.ok());
    BOOST_TEST(refusal(quick(path, true)) == "opened");
    BOOST_TEST(refusal(quick(path)).find("is locked by") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_link_in_a_folder_of_images_leads_to_the_passwords) {
    Bench bench;
    const std::string image = bench.image(4096);
    const std::string images = bench.folder.path() + "/images";
    std::filesystem::create_directories(images + "/old");
    std::filesystem::copy_file(image, images + "/old/a.img");
    std::filesystem::create_symlink("old/a.img", images + "/inside");
    std::filesystem::create_symlink("../image", images + "/outside");
    std::filesystem::create_symlink("/etc", images + "/etc");
    std::filesystem::create_symlink("/proc/self/root", images + "/root");
    const auto outcome = [&](const std::string& source) {
        OpenWish wish = quick(source, true);
        wish.roots = {"/nowhere", images};
        return refusal(wish);
    };
    BOOST_TEST(outcome(images + "/old/a.img") == "opened");
    BOOST_TEST(outcome(images + "//inside") == "opened");
    for (const char* path : {"/outside", "/../image", "/old/../../image", "/etc/passwd", "/root/etc/passwd"}) {
        BOOST_TEST(outcome(images + path).find("leads out of its folder") != std::string::npos, path << ": " << outcome(images + path));
    }
    for (const std::string& path : {image, std::string("/etc/passwd"), images + "-other/a.img"}) {
        BOOST_TEST(outcome(path).find("drives.roots") != std::string::npos, path << ": " << outcome(path));
    }
    BOOST_TEST(outcome("/dev/null").find("is a character device") != std::string::npos);
    BOOST_TEST(refusal(quick(images + "/outside", true)) == "opened");
}

BOOST_AUTO_TEST_CASE(what_many_read_goes_past_the_page_cache_or_what_is_written_through_it) {
    Bench bench;
    const std::string path = bench.image(1 << 20);
    const auto goes_direct = [&](bool read_only, CachePolicy cache) {
        OpenWish wish = quick(path, read_only);
        wish.cache = cache;
        const Result<OpenedFile> opened = open_file(wish);
        BOOST_REQUIRE(opened.ok());
        return opened->direct && (fcntl(opened->fd.get(), F_GETFL) & O_DIRECT) != 0;
    };
    BOOST_TEST(goes_direct(false, CachePolicy::automatic));
    BOOST_TEST(!goes_direct(true, CachePolicy::automatic));
    BOOST_TEST(!goes_direct(false, CachePolicy::page_cache));
    BOOST_TEST(goes_direct(true, CachePolicy::direct));
}

// Only what nobody can change may be sent later than it was answered.
BOOST_AUTO_TEST_CASE(a_drive_lends_what_is_not_there_or_what_may_change) {
    Bench bench;
    constexpr std::size_t size = 1 << 20;
    const std::string path = bench.image(size);
    std::vector<std::byte> memory(256 << 10);
    const auto lent = [&](std::uint64_t offset, std::uint32_t length) {
        IoRequest request;
        request.offset = offset;
        request.length = length;
        request.data = memory.data();
        request.may_lend = true;
        BOOST_TEST(bench.perform(request) == 0);
        return request.lent;
    };
    OpenWish wish = quick(path, true);
    Result<OpenedFile> opened = open_file(wish);
    BOOST_REQUIRE(opened.ok());
    BOOST_REQUIRE(posix_fadvise(opened->fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
    bench.drive = std::make_unique<CachedDrive>(bench.resources(), std::move(*opened));
    BOOST_TEST(!lent(0, size / 4));  // read into memory, and into the cache
    const std::shared_ptr<const UniqueFd> file = lent(1000, size / 8);
    BOOST_REQUIRE(file);
    BOOST_TEST(!lent(0, 4096));
    bench.close();
    char byte = 0;
    BOOST_TEST(pread(file->get(), &byte, 1, 1000) == 1, "the lent file is closed with the drive");
    OpenWish writer = quick(path);
    BOOST_TEST(open_file(writer).ok(), "what is lent holds the closed drive's lock");

    bench.open(path, false);
    BOOST_TEST(bench.perform(IoOperation::write, 0, 64 << 10, memory.data()) == 0);
    BOOST_TEST(!lent(0, 64 << 10));
    bench.close();
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay
