// Random reads, writes, punched holes, zeroed ranges and syncs on one file, compared with a copy in memory: every read, and
// the whole at the end, which is also compared with what the file is served from.
//
//   random-operations --operations N [--seed S] [--lanes N] [--backing FILE] FILE
//
// Several lanes (threads) work at once, each in a part of the file that is its own. The parts meet in the middle of a block,
// so that two lanes also change different bytes of one block at the same moment. Each lane has descriptors of several kinds
// and takes now the one, now the other. The seed is printed; with one lane it gives exactly the same operations again.
// Exit status 1 when a byte differs; what the lane did to that byte before is told.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include "lib/base/fd.h"

namespace {

using drivebay::UniqueFd;

constexpr std::size_t longest = 256 * 1024;
constexpr std::size_t sector = 512;
constexpr std::size_t page = 4096;

enum class Operation : std::uint8_t { read, write, punch, zero, zero_keep_size, sync };
constexpr std::array names = {"read", "write", "punch hole", "zero range", "zero range (keep size)", "fsync"};

struct Done {
    Operation operation;
    std::uint8_t descriptor;
    std::uint32_t length;
    std::uint64_t offset;
};

constexpr std::array open_flags = {O_RDWR, O_RDWR | O_DIRECT, O_RDWR | O_DIRECT, O_RDWR | O_DSYNC};
constexpr std::array open_names = {"plain", "O_DIRECT", "another O_DIRECT", "O_DSYNC"};

struct FreeMemory {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::uint8_t, FreeMemory>;

Memory aligned_memory(std::size_t size) {
    return Memory(static_cast<std::uint8_t*>(std::aligned_alloc(page, (size + page - 1) / page * page)));
}

std::atomic<bool> failed = false;
std::mutex speaking;

void complain(const std::string& what) {
    const std::lock_guard lock(speaking);
    failed = true;
    fmt::print(stderr, "{}\n", what);
}

class Lane {
public:
    // The part [begin, end) of the file and of its `copy` is this lane's alone.
    Lane(const std::string& path, std::size_t number, std::uint64_t seed, std::uint64_t begin, std::uint64_t end,
         std::vector<std::uint8_t>& copy)
        : number_(number), begin_(begin), end_(end), copy_(copy), random_(seed), buffer_(aligned_memory(longest + page)) {
        for (const int flags : open_flags) {
            descriptors_.emplace_back(::open(path.c_str(), flags | O_CLOEXEC));
            if (!descriptors_.back()) {
                complain(fmt::format("{} cannot be opened: {}", path, std::strerror(errno)));
            }
        }
    }

    void run(std::uint64_t operations) {
        for (std::uint64_t i = 0; i < operations && !failed; ++i) {
            step();
        }
    }

    // Which of this lane's operations changed the byte last.
    std::string history(std::uint64_t at) const {
        std::string told;
        int left = 4;
        for (auto done = done_.rbegin(); done != done_.rend() && left > 0; ++done) {
            if (done->operation != Operation::sync && done->operation != Operation::read && done->offset <= at && at < done->offset + done->length) {
                told += fmt::format("\n  operation {} of lane {}: {} {}+{} by the {} descriptor",
                                    done_.rend() - done - 1, number_, names[static_cast<std::size_t>(done->operation)],
                                    done->offset, done->length, open_names[done->descriptor]);
                --left;
            }
        }
        return told;
    }
    bool owns(std::uint64_t at) const { return begin_ <= at && at < end_; }

private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    Operation choose() {
        const std::uint64_t lot = below(1000);
        return lot < 420   ? Operation::read
               : lot < 880 ? Operation::write
               : lot < 930 ? Operation::punch
               : lot < 970 ? Operation::zero
               : lot < 995 ? Operation::zero_keep_size
                           : Operation::sync;
    }

    // Few bytes as often as many, and whole blocks as often as odd ranges.
    Done draw() {
        // A write by the last one waits for the disk: now and then will do.
        const bool durable = below(32) == 0;
        Done next{choose(), static_cast<std::uint8_t>(durable ? open_flags.size() - 1 : below(open_flags.size() - 1)), 0, 0};
        static constexpr std::array<std::size_t, 6> limits = {16, sector, page, 16 * 1024, 64 * 1024, longest};
        const std::size_t limit = limits[below(limits.size())];
        next.length = static_cast<std::uint32_t>(1 + below(limit));
        next.offset = begin_ + below(end_ - begin_);
        if (below(16) == 0) {
            // In the block that is shared with a neighbour.
            next.length = static_cast<std::uint32_t>(1 + below(150));
            next.offset = below(2) == 0 ? begin_ + below(100) : end_ - 1 - below(100);
        }
        const std::uint64_t shape = next.length > 150 ? below(4) : 0;
        if (shape > 1) {
            const std::size_t unit = shape == 2 ? sector : page;
            next.length = static_cast<std::uint32_t>((next.length + unit - 1) / unit * unit);
            next.offset = std::max(next.offset / unit * unit, (begin_ + unit - 1) / unit * unit);
        }
        // Only the file's end may be crossed: reads and writes are then cut short.
        const bool may_cross = end_ == copy_.size() && (next.operation == Operation::read || next.operation == Operation::write);
        if (!may_cross) {
            next.length = static_cast<std::uint32_t>(std::min<std::uint64_t>(next.length, end_ - next.offset));
        }
        return next;
    }

    void step() {
        const Done next = draw();
        done_.push_back(next);
        const int fd = descriptors_[next.descriptor].get();
        const auto offset = static_cast<off_t>(next.offset);
        const std::uint64_t inside = std::min<std::uint64_t>(next.length, copy_.size() - next.offset);
        std::uint8_t* const copy = copy_.data() + next.offset;
        ssize_t result = 0;
        std::uint64_t wanted = 0;
        switch (next.operation) {
            case Operation::read:
                wanted = inside;
                std::memset(buffer_.get(), 0xa5, inside);
                result = ::pread(fd, buffer_.get(), next.length, offset);
                break;
            case Operation::write:
                wanted = inside;
                fill(next.length);
                result = ::pwrite(fd, buffer_.get(), next.length, offset);
                std::memcpy(copy, buffer_.get(), inside);
                break;
            case Operation::punch:
                result = ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, next.length);
                std::memset(copy, 0, inside);
                break;
            case Operation::zero:
            case Operation::zero_keep_size:
                result = ::fallocate(fd, FALLOC_FL_ZERO_RANGE | (next.operation == Operation::zero ? 0 : FALLOC_FL_KEEP_SIZE),
                                     offset, next.length);
                std::memset(copy, 0, inside);
                break;
            case Operation::sync: result = ::fsync(fd); break;
        }
        if (result < 0 || static_cast<std::uint64_t>(result) != wanted) {
            return complain(fmt::format("operation {} of lane {}: {} {}+{} by the {} descriptor gave {} ({}) instead of {}",
                                        done_.size() - 1, number_, names[static_cast<std::size_t>(next.operation)], next.offset,
                                        next.length, open_names[next.descriptor], result,
                                        result < 0 ? std::strerror(errno) : "no error", wanted));
        }
        if (next.operation == Operation::read && std::memcmp(buffer_.get(), copy, inside) != 0) {
            const auto differs = std::mismatch(copy, copy + inside, buffer_.get());
            const std::uint64_t at = next.offset + static_cast<std::uint64_t>(differs.first - copy);
            complain(fmt::format("byte {} was read as {:#04x} instead of {:#04x}:{}", at, *differs.second, *differs.first,
                                 history(at)));
        }
    }

    void fill(std::size_t length) {
        for (std::size_t at = 0; at < length; at += 8) {
            const std::uint64_t word = random_();
            std::memcpy(buffer_.get() + at, &word, 8);
        }
    }

    const std::size_t number_;
    const std::uint64_t begin_;
    const std::uint64_t end_;
    std::vector<std::uint8_t>& copy_;
    std::mt19937_64 random_;
    Memory buffer_;
    std::vector<UniqueFd> descriptors_;
    std::vector<Done> done_;
};

bool read_whole(const std::string& path, std::vector<std::uint8_t>& into) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::size_t at = 0;
    while (fd && at < into.size()) {
        const ssize_t got = ::pread(fd.get(), into.data() + at, into.size() - at, static_cast<off_t>(at));
        if (got <= 0) {
            break;
        }
        at += static_cast<std::size_t>(got);
    }
    if (at < into.size()) {
        complain(fmt::format("{} could be read up to {} only: {}", path, at, std::strerror(errno)));
    }
    return at == into.size();
}

void compare_whole(const std::string& path, const std::vector<std::uint8_t>& copy,
                   const std::vector<std::unique_ptr<Lane>>& lanes) {
    std::vector<std::uint8_t> there(copy.size());
    if (!read_whole(path, there) || there == copy) {
        return;
    }
    const auto differs = std::mismatch(copy.begin(), copy.end(), there.begin());
    const auto at = static_cast<std::uint64_t>(differs.first - copy.begin());
    std::string history;
    for (const auto& lane : lanes) {
        history += lane->owns(at) ? lane->history(at) : "";
    }
    complain(fmt::format("at the end byte {} of {} is {:#04x} instead of {:#04x}:{}", at, path, *differs.second,
                         *differs.first, history));
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t operations = 0;
    std::uint64_t seed = std::random_device()();
    std::size_t lane_count = 3;
    std::string path;
    std::string backing;
    CLI::App app("Random operations on a file, compared with a copy in memory.", "random-operations");
    app.add_option("--operations", operations, "how many, of all lanes together")->required();
    app.add_option("--seed", seed, "the same again");
    app.add_option("--lanes", lane_count, "threads, each in its own part of the file")->check(CLI::Range(1, 64));
    app.add_option("--backing", backing, "the file that FILE is served from: compared at the end, too");
    app.add_option("FILE", path)->required();
    CLI11_PARSE(app, argc, argv);

    struct stat facts{};
    if (::stat(path.c_str(), &facts) != 0 || facts.st_size < static_cast<off_t>(lane_count * page)) {
        fmt::print(stderr, "{} is not there, or too small\n", path);
        return 1;
    }
    fmt::print("seed {}, {} operations in {} lanes on {} bytes\n", seed, operations, lane_count, facts.st_size);
    std::vector<std::uint8_t> copy(static_cast<std::size_t>(facts.st_size));
    if (!read_whole(path, copy)) {
        return 1;
    }
    std::vector<std::unique_ptr<Lane>> lanes;
    std::uint64_t begin = 0;
    for (std::size_t i = 0; i < lane_count; ++i) {
        const std::uint64_t share = copy.size() / lane_count;
        const std::uint64_t end = i + 1 == lane_count ? copy.size() : (i + 1) * share / page * page + 200 + i;
        lanes.push_back(std::make_unique<Lane>(path, i, seed + i, begin, end, copy));
        begin = end;
    }
    std::vector<std::thread> threads;
    for (const auto& lane : lanes) {
        threads.emplace_back([&lane, count = operations / lane_count] { lane->run(count); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    if (!failed) {
        compare_whole(path, copy, lanes);
        if (!backing.empty()) {
            compare_whole(backing, copy, lanes);
        }
    }
    if (failed) {
        fmt::print(stderr, "seed {}\n", seed);
    }
    return failed ? 1 : 0;
}
