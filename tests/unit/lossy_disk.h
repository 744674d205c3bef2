// A disk that loses power: takes recorded operations (recording_vfs.h) and says what its files may hold afterwards.
// What was synced is there; of the rest each sector of 512 bytes has any of the contents that it had since, each file
// any of its sizes.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/recording_vfs.h"

namespace drivebay {

class LossyDisk {
public:
    // By suffix; what is not there is in no entry.
    using Files = std::map<std::string, std::string>;

    // With `ignored_sync` that file's syncs are lies: for tests of the test.
    explicit LossyDisk(Files durable, const char* ignored_sync = nullptr) : ignored_sync_(ignored_sync) {
        for (auto& [suffix, bytes] : durable) {
            files_[suffix].durable = bytes;
        }
    }

    void apply(const DiskOp& op) {
        File& file = files_[op.suffix];
        const bool lies = ignored_sync_ != nullptr && op.suffix == ignored_sync_;
        if (op.kind == DiskOp::sync) {
            if (lies) {
                return;
            }
            // SQLite syncs the folder with the first sync of a journal or log that it made (os_unix.c,
            // UNIXFILE_DIRSYNC).
            const bool with_folder = !op.suffix.empty() && file.names_pending() > 0;
            file.settle();
            for (auto& [suffix, other] : files_) {
                if (with_folder) {
                    other.settle(other.names_pending());
                }
            }
            return;
        }
        file.pending.push_back(op);
        if (op.kind == DiskOp::remove && op.durable) {
            file.settle();
        }
    }

    Files with_everything() const {
        Files files;
        for (const auto& [suffix, file] : files_) {
            put(files, suffix, file.after(file.pending.size()));
        }
        return files;
    }

    Files with_nothing() const {
        Files files;
        for (const auto& [suffix, file] : files_) {
            put(files, suffix, file.durable);
        }
        return files;
    }

    Files with_some(std::mt19937_64& random) const {
        Files files;
        for (const auto& [suffix, file] : files_) {
            put(files, suffix, file.torn(random));
        }
        return files;
    }

    bool has_pending() const {
        for (const auto& [suffix, file] : files_) {
            if (!file.pending.empty()) {
                return true;
            }
        }
        return false;
    }

private:
    static constexpr std::size_t sector = 512;
    using Contents = std::optional<std::string>;  // nothing: there is no such file

    struct File {
        Contents durable;
        std::vector<DiskOp> pending;

        void settle() { settle(pending.size()); }

        void settle(std::size_t count) {
            durable = after(count);
            pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(count));
        }

        static bool is_about_name(const DiskOp& op) { return op.kind == DiskOp::create || op.kind == DiskOp::remove; }

        // How many operations there are up to the last one that made or removed the file.
        std::size_t names_pending() const {
            std::size_t count = pending.size();
            while (count > 0 && !is_about_name(pending[count - 1])) {
                --count;
            }
            return count;
        }

        static void change(Contents& contents, const DiskOp& op) {
            switch (op.kind) {
                case DiskOp::create: contents = ""; break;
                case DiskOp::remove: contents.reset(); break;
                case DiskOp::truncate: contents->resize(op.at, '\0'); break;
                case DiskOp::write:
                    contents->resize(std::max(contents->size(), op.at + op.bytes.size()), '\0');
                    contents->replace(op.at, op.bytes.size(), op.bytes);
                    break;
                case DiskOp::sync: break;
            }
        }

        Contents after(std::size_t count) const {
            Contents contents = durable;
            for (std::size_t i = 0; i < count; ++i) {
                change(contents, pending[i]);
            }
            return contents;
        }

        // Whether a file was made or removed is one question; where it is the same file, each sector is its own.
        Contents torn(std::mt19937_64& random) const {
            std::size_t first = random() % (pending.size() + 1);  // where the story of the file that is left begins
            while (first > 0 && !is_about_name(pending[first - 1])) {
                --first;
            }
            std::size_t last = first;
            while (last < pending.size() && !is_about_name(pending[last])) {
                ++last;
            }
            std::vector<Contents> story{after(first)};
            for (std::size_t i = first; i < last; ++i) {
                story.push_back(story.back());
                change(story.back(), pending[i]);
            }
            if (!story.front()) {
                return std::nullopt;
            }
            const auto any = [&]() -> const std::string& { return *story[random() % story.size()]; };
            std::string contents(any().size(), '\0');
            for (std::size_t at = 0; at < contents.size(); at += sector) {
                const std::string& source = any();
                if (at < source.size()) {
                    const std::size_t length = std::min({sector, source.size() - at, contents.size() - at});
                    contents.replace(at, length, source, at, length);
                }
            }
            return contents;
        }
    };

    static void put(Files& files, const std::string& suffix, Contents contents) {
        if (contents) {
            files[suffix] = std::move(*contents);
        }
    }

    const char* ignored_sync_;
    std::map<std::string, File> files_;
};

}  // namespace drivebay
