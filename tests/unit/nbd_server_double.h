// An NBD server that does as a test tells it: it may keep its answers back, drop connections, forget exports. A thread
// for each connection; a Unix socket in a folder of its own. NBD doc/proto.md, newstyle, simple replies.
#pragma once

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/fd.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {

class NbdServerDouble {
public:
    struct Seen {
        std::uint16_t command = 0;  // 0 read, 1 write, 3 flush, 4 trim, 6 write zeroes
        std::uint16_t flags = 0;
        std::uint64_t offset = 0;
        std::uint32_t length = 0;
        std::string export_name;
    };

    // To be set before a connection comes, or while none is there.
    std::uint64_t size = 1 << 20;
    std::uint16_t flags = 0x6d;  // HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES
    std::string description = "drivebay boot=first epoch=7 kind=cdrom";
    std::vector<std::byte> medium = std::vector<std::byte>(1 << 20);

    std::atomic<bool> refuses{false};       // every export: unknown
    std::atomic<bool> keeps_silent{false};  // takes requests, applies nothing, answers nothing
    std::atomic<std::uint32_t> error{0};    // of every answer
    std::atomic<std::uint32_t> flush_error{0};
    // A slow link: so many bytes of a write arrive at once, and the next so much later; 0: all at once.
    std::size_t takes = 0;
    std::chrono::milliseconds each{0};

    NbdServerDouble() { listen_again(); }

    ~NbdServerDouble() {
        go_away();
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }

    std::string uri(const std::string& export_name) const {
        return "nbd+unix:///" + export_name + "?socket=" + folder_.path() + "/socket";
    }

    // Ends the connections that are there.
    void drop() {
        const std::lock_guard lock(mutex_);
        for (const int socket : connections_) {
            shutdown(socket, SHUT_RDWR);
        }
    }

    // Ends them, and takes no more.
    void go_away() {
        if (accepting_.joinable()) {
            shutdown(listener_.get(), SHUT_RDWR);
            accepting_.join();
            listener_.reset();
            unlink((folder_.path() + "/socket").c_str());
        }
        drop();
    }

    void listen_again() {
        listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, (folder_.path() + "/socket").c_str(), sizeof address.sun_path - 1);
        if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            listen(listener_.get(), 8) != 0) {
            throw std::system_error(errno, std::generic_category(), "the NBD double cannot listen");
        }
        accepting_ = std::thread([this] { accept_all(); });
    }

    // Waits until so many requests were seen, and returns them all.
    std::vector<Seen> wait_for(std::size_t count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return seen_.size() >= count; });
        return seen_;
    }

    std::vector<std::string> exports_asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

private:
    struct Lost {};

    void accept_all() {
        while (true) {
            const int connection = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
            if (connection < 0) {
                return;
            }
            const std::lock_guard lock(mutex_);
            connections_.push_back(connection);
            threads_.emplace_back([this, connection] { serve(connection); });
        }
    }

    static void get(int from, void* into, std::size_t length) {
        if (length > 0 && recv(from, into, length, MSG_WAITALL) != static_cast<ssize_t>(length)) {
            throw Lost{};
        }
    }
    void get_slowly(int from, std::vector<std::byte>& data) const {
        const std::size_t most = takes == 0 ? data.size() : takes;
        for (std::size_t at = 0; at < data.size(); at += most) {
            if (at > 0) {
                std::this_thread::sleep_for(each);
            }
            get(from, data.data() + at, std::min(most, data.size() - at));
        }
    }
    static std::uint16_t get16(int from) {
        std::uint16_t v = 0;
        get(from, &v, 2);
        return be16toh(v);
    }
    static std::uint32_t get32(int from) {
        std::uint32_t v = 0;
        get(from, &v, 4);
        return be32toh(v);
    }
    static std::uint64_t get64(int from) {
        std::uint64_t v = 0;
        get(from, &v, 8);
        return be64toh(v);
    }
    static std::string be(std::uint64_t value, int bytes) {
        std::string text;
        for (int i = bytes - 1; i >= 0; --i) {
            text += static_cast<char>(value >> (8 * i));
        }
        return text;
    }
    static void put(int to, const std::string& text) {
        if (send(to, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
            throw Lost{};
        }
    }
    static void reply(int to, std::uint32_t option, std::uint32_t type, const std::string& data) {
        put(to, be(0x3e889045565a9, 8) + be(option, 4) + be(type, 4) + be(data.size(), 4) + data);
    }

    void serve(int connection) {
        try {
            const std::string name = negotiate(connection);
            while (true) {
                serve_request(connection, name);
            }
        } catch (const Lost&) {
        }
        const std::lock_guard lock(mutex_);
        std::erase(connections_, connection);
        close(connection);
    }

    std::string negotiate(int connection) {
        put(connection, "NBDMAGICIHAVEOPT" + be(3, 2));
        (void)get32(connection);
        while (true) {
            (void)get64(connection);
            const std::uint32_t option = get32(connection);
            std::string data(get32(connection), '\0');
            get(connection, data.data(), data.size());
            if (option != 6 && option != 7) {  // INFO, GO
                reply(connection, option, 0x80000001, "");
                continue;
            }
            std::uint32_t length = 0;
            std::memcpy(&length, data.data(), 4);
            const std::string name = data.substr(4, be32toh(length));
            {
                const std::lock_guard lock(mutex_);
                asked_.push_back(name);
            }
            if (refuses) {
                reply(connection, option, 0x80000006, "no such export");
                continue;
            }
            reply(connection, option, 3, be(0, 2) + be(size, 8) + be(flags, 2));
            reply(connection, option, 3, be(2, 2) + description);
            reply(connection, option, 1, "");
            if (option == 7) {
                return name;
            }
        }
    }

    void serve_request(int connection, const std::string& name) {
        (void)get32(connection);
        Seen seen;
        seen.flags = get16(connection);
        seen.command = get16(connection);
        const std::uint64_t cookie = get64(connection);
        seen.offset = get64(connection);
        seen.length = get32(connection);
        seen.export_name = name;
        std::vector<std::byte> data(seen.command == 1 ? seen.length : 0);
        get_slowly(connection, data);
        const bool silent = keeps_silent;
        const std::uint32_t code = seen.command == 3 && flush_error != 0 ? flush_error : error;
        std::string answer = be(0x67446698, 4) + be(code, 4) + be(cookie, 8);
        if (!silent && code == 0 && seen.command == 1) {
            std::memcpy(medium.data() + seen.offset, data.data(), data.size());
        }
        if (code == 0 && seen.command == 0) {
            answer.append(reinterpret_cast<const char*>(medium.data()) + seen.offset, seen.length);
        }
        if (seen.command == 2) {
            throw Lost{};
        }
        {
            const std::lock_guard lock(mutex_);
            seen_.push_back(seen);
        }
        changed_.notify_all();
        if (!silent) {
            put(connection, answer);
        }
    }

    TemporaryFolder folder_;
    UniqueFd listener_;
    std::thread accepting_;
    std::list<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<int> connections_;
    std::vector<Seen> seen_;
    std::vector<std::string> asked_;
};

}  // namespace drivebay
